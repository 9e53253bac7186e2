// Package data carries the data set of the weather example into programs that upload it or check against it. The worker
// does not import it: it reads the object in S3 that its task names.
package data

import _ "embed"

// CSV holds the file seattle-weather.csv; README.md names its source and its licence.
//
//go:embed seattle-weather.csv
var CSV []byte
