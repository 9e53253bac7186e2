package ecology

import "fmt"

// Status is how well a thing bears load, worst first. It is written as its number.
type Status int

const (
	Bad Status = iota
	Poor
	Moderate
	Good
	High
)

var statusNames = [...]string{Bad: "Bad", Poor: "Poor", Moderate: "Moderate", Good: "Good", High: "High"}

// String is the status' name for people.
func (s Status) String() string {
	if s < Bad || s > High {
		return fmt.Sprintf("Status(%d)", int(s))
	}
	return statusNames[s]
}

// Coefficients is the share of a labourer's cap that each status allows: finite, 0 or more; above 1 is legal.
type Coefficients [High + 1]float64

// DefaultCoefficients are those of sosw, for the statuses that a configuration does not name.
func DefaultCoefficients() Coefficients {
	return Coefficients{Bad: 0, Poor: 0, Moderate: 0.5, Good: 0.75, High: 1}
}
