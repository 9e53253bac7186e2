package ecology

import "fmt"

// Status is a dependency's health, worst first. JSON has its number.
type Status int

const (
	Bad Status = iota
	Poor
	Moderate
	Good
	High
)

var statusNames = [...]string{Bad: "Bad", Poor: "Poor", Moderate: "Moderate", Good: "Good", High: "High"}

// String returns the name of the status.
func (s Status) String() string {
	if s < Bad || s > High {
		return fmt.Sprintf("Status(%d)", int(s))
	}
	return statusNames[s]
}

// Coefficients holds the share of a labourer's cap that each status allows: finite, and 0 or more. Values above 1 are valid.
type Coefficients [High + 1]float64

// DefaultCoefficients returns sosw's coefficients, for the statuses that a configuration does not name.
func DefaultCoefficients() Coefficients {
	return Coefficients{Bad: 0, Poor: 0, Moderate: 0.5, Good: 0.75, High: 1}
}
