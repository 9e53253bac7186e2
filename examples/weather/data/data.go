// Package data carries the data set of the weather example into programs that upload it or check against it. The worker
// does not import it: it reads the object in S3 that its task names.
package data

import _ "embed"

// CSV is the file seattle-weather.csv; README.md says where it comes from and under which licence it stands.
//
//go:embed seattle-weather.csv
var CSV []byte
