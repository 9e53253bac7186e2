// Package bill prices what tests and benchmarks have counted. AWS's list prices are data, with their date and their sources: prices.json.
// Storage at rest and metrics are not in the list, because they depend on time and not on tasks.
package bill

import (
	_ "embed"
	"encoding/json"
	"fmt"
)

// What the list has prices for.
const (
	WriteUnits    = "DynamoDB write units"
	ReadUnits     = "DynamoDB read units"
	Invocations   = "Lambda requests"
	Compute       = "Lambda GB-s"
	Executions    = "Express executions"
	Billed        = "Express GB-s"
	Transitions   = "Standard transitions"
	QueueRequests = "SQS requests"
	Events        = "EventBridge events"
	Puts          = "S3 PUTs"
	LogBytes      = "log bytes"
)

// Price holds the cost of one unit of something.
type Price struct {
	What    string
	Dollars float64
	Source  string
}

// List holds prices of a region at a time, before free tiers.
type List struct {
	Region string
	AsOf   string `json:"as_of"` // year and month
	Prices []Price
}

//go:embed prices.json
var prices []byte

// AWS returns the list prices of AWS.
func AWS() List {
	var l List
	if err := json.Unmarshal(prices, &l); err != nil {
		panic(err) // it is part of the program
	}
	return l
}

// Of returns the dollars for one unit. It panics if the list does not have it.
func (l List) Of(what string) float64 {
	for _, p := range l.Prices {
		if p.What == what {
			return p.Dollars
		}
	}
	panic(fmt.Sprintf("the list has no price for %s", what))
}

// Amounts holds what was counted, by the constants of this package.
type Amounts map[string]float64

// Line is one line of a bill.
type Line struct {
	What            string
	Amount, Dollars float64
}

// Bill returns a line for each price of the list, and the sum in dollars. It panics if an amount has no price.
func (l List) Bill(amounts Amounts) (lines []Line, sum float64) {
	for what := range amounts {
		l.Of(what)
	}
	for _, p := range l.Prices {
		dollars := amounts[p.What] * p.Dollars
		lines, sum = append(lines, Line{p.What, amounts[p.What], dollars}), sum+dollars
	}
	return lines, sum
}
