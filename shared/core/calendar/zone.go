package calendar

import (
	_ "embed"
	"strings"
	"time"
	_ "time/tzdata" // the Lambda runtime of Go programs brings no zone files of its own

	"github.com/drover-run/drover/shared/core/spelling"
)

// zoneNames are the IANA database's names of places, and UTC, a line each: they are proposed for one that is misspelt. Other names of the
// database, such as CET or US/Pacific, are taken all the same. They come from lib/time/zoneinfo.zip of Go.
//
//go:embed zones.txt
var zoneNames string

// Zone returns the time zone of an IANA name such as "Europe/Berlin"; the empty name is UTC.
// "Local" is refused: what a job means must not depend on the machine that reads it.
func Zone(name string) (*time.Location, error) {
	if name == "" {
		return time.UTC, nil
	}
	if zone, err := time.LoadLocation(name); err == nil && name != "Local" {
		return zone, nil
	}
	if nearest, ok := nearestZone(name); ok {
		return nil, refuse("", "%s is not a time zone; did you mean %q?", quote(name), nearest)
	}
	return nil, refuse("", "%s is not a time zone; want a name of the IANA database, such as UTC, Europe/Berlin or America/New_York", quote(name))
}

// nearestZone is the name that was probably meant, of which the place alone may have been given.
func nearestZone(name string) (string, bool) {
	zones := strings.Fields(zoneNames)
	if nearest, ok := spelling.Nearest(name, zones); ok {
		return nearest, true
	}
	places, zoneOf := make([]string, len(zones)), map[string]string{}
	for i, zone := range zones {
		places[i] = zone[strings.LastIndexByte(zone, '/')+1:]
		zoneOf[places[i]] = zone
	}
	place, ok := spelling.Nearest(name, places)
	return zoneOf[place], ok
}
