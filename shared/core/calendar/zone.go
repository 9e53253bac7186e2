package calendar

import (
	_ "embed"
	"strings"
	"time"
	_ "time/tzdata" // Lambda's runtime for Go lacks zone files

	"github.com/drover-run/drover/shared/core/spelling"
)

// zoneNames holds UTC and the IANA database's names of places, one a line, from Go's lib/time/zoneinfo.zip. Errors suggest them. Other names of the
// database, such as CET or US/Pacific, are accepted too.
//
//go:embed zones.txt
var zoneNames string

// Zone returns the time zone with an IANA name such as "Europe/Berlin". The empty name means UTC. Zone refuses "Local", because the meaning of a job must
// not depend on the machine that reads it.
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

// nearestZone returns the zone that the user probably meant. The name may consist of only the place.
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
