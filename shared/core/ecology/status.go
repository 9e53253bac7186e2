package ecology

import "fmt"

// Status says how well a dependency bears load, worst first. It is written as its number.
type Status int

const (
	Bad Status = iota
	Poor
	Moderate
	Good
	High
)

var statusNames = [...]string{Bad: "Bad", Poor: "Poor", Moderate: "Moderate", Good: "Good", High: "High"}

// String returns the status' name for people.
func (s Status) String() string {
	if s < Bad || s > High {
		return fmt.Sprintf("Status(%d)", int(s))
	}
	return statusNames[s]
}

// Coefficients are the share of a labourer's cap that each status allows: finite, 0 or more; above 1 is valid.
type Coefficients [High + 1]float64

// DefaultCoefficients returns sosw's, for the statuses that a configuration does not name.
func DefaultCoefficients() Coefficients {
	return Coefficients{Bad: 0, Poor: 0, Moderate: 0.5, Good: 0.75, High: 1}
}
