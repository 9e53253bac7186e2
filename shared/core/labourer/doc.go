// Package labourer defines the configuration: the kinds of worker, what each may use, and the job schemas.
//
// Read takes what people write (YAML or JSON, and sosw's configuration unchanged) and returns everything that is wrong with it at once,
// each error with its path, its line and the nearest known name. It guesses nothing: it refuses unknown fields, and lists as warnings what
// sosw's configuration has and Drover has no use for.
//
// A labourer is stored as one canonical JSON. It contains all defaults, so that a later version's defaults change nothing that runs. It is
// equal for configurations that mean the same, so that the text shows whether anything changed. And it is in the language that Read takes,
// so that there is one parser.
package labourer
