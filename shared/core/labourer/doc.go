// Package labourer is the configuration: the kinds of worker there are, what each may use up, and the job schemas.
//
// Read takes what people write (YAML or JSON, and sosw's configuration as it is) and answers with all that is wrong with it at
// once, each with its path, its line and the nearest name that is known. Nothing is guessed: an unknown field is refused, what
// sosw's configuration has and Drover has no use for is listed as a warning.
//
// A labourer is stored as one canonical JSON: complete with its defaults, so that a later version's defaults change nothing that runs;
// the same for configurations that mean the same, so that the text tells whether anything changed; and in the language
// that Read takes, so that there is one parser.
package labourer
