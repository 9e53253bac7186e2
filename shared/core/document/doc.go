// Package document reads what people write as configuration: YAML or JSON, by one set of rules.
//
// Parse returns the values of a document with their lines. A Reader reads fields from them and collects everything that is wrong at once,
// each error with its path, its line and the nearest known name. It guesses nothing: it refuses unknown and repeated names.
package document
