// Package data embeds the data set of the weather example, for programs that upload it or check results against it. The worker does not import it: it
// reads the S3 object that its task names.
package data

import _ "embed"

// CSV holds the file seattle-weather.csv. README.md names its source and its licence.
//
//go:embed seattle-weather.csv
var CSV []byte
