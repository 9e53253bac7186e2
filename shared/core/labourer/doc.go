// Package labourer defines the configuration: the kinds of worker with their limits, and the job schemas.
//
// Read reads configurations that people write (YAML or JSON, also an unchanged configuration of sosw). It returns all errors at once, each with its path,
// its line and the nearest known name. It guesses nothing: it refuses unknown fields, and returns a warning for each setting of sosw that Drover does not
// use.
//
// A labourer is stored as canonical JSON. The text contains all defaults, so that other defaults in a later version do not change existing labourers. It is
// equal for configurations with the same meaning, so that it shows whether anything changed. And Read accepts it, so that one parser is enough.
package labourer
