package fakeaws

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

// formula is a metric math expression that is being read: its tokens, and the series of its ids.
type formula struct {
	rest  []string
	known map[string]series
	depth int
}

var formulaToken = regexp.MustCompile(`^\s*([0-9]+(?:\.[0-9]+)?|[a-z][A-Za-z0-9_]*|[-+*/()])`)

// evaluate returns the datapoints of an expression, at those times at which each of its metrics has one.
func evaluate(text string, known map[string]series) (series, error) {
	f := formula{known: known}
	for left := text; ; {
		at := formulaToken.FindStringSubmatchIndex(left)
		if at == nil {
			if regexp.MustCompile(`\S`).MatchString(left) {
				return nil, fmt.Errorf("it is unreadable from %q on", left)
			}
			break
		}
		f.rest = append(f.rest, left[at[2]:at[3]])
		left = left[at[1]:]
	}
	result, err := f.sum()
	switch {
	case err != nil:
		return nil, err
	case len(f.rest) > 0:
		return nil, fmt.Errorf("%q was not expected", f.rest[0])
	case result.points == nil:
		return nil, fmt.Errorf("it is not a time series")
	}
	return result.points, nil
}

// quantity is a number or a time series.
type quantity struct {
	number float64
	points series
}

func (f *formula) accept(operators string) byte {
	if len(f.rest) > 0 && len(f.rest[0]) == 1 {
		for i := range len(operators) {
			if f.rest[0][0] == operators[i] {
				f.rest = f.rest[1:]
				return operators[i]
			}
		}
	}
	return 0
}

func (f *formula) sum() (quantity, error)     { return f.chain("+-", f.product) }
func (f *formula) product() (quantity, error) { return f.chain("*/", f.single) }

func (f *formula) chain(operators string, part func() (quantity, error)) (quantity, error) {
	left, err := part()
	for err == nil {
		operator := f.accept(operators)
		if operator == 0 {
			return left, nil
		}
		var right quantity
		right, err = part()
		left = combine(operator, left, right)
	}
	return left, err
}

func (f *formula) single() (quantity, error) {
	if f.accept("-") != 0 {
		of, err := f.single()
		return combine('-', quantity{}, of), err
	}
	if f.accept("(") != 0 {
		if f.depth++; f.depth > 50 {
			return quantity{}, fmt.Errorf("its parentheses are nested too deeply")
		}
		of, err := f.sum()
		f.depth--
		if err == nil && f.accept(")") == 0 {
			err = fmt.Errorf("a parenthesis is not closed")
		}
		return of, err
	}
	if len(f.rest) == 0 {
		return quantity{}, fmt.Errorf("it ends too soon")
	}
	word := f.rest[0]
	f.rest = f.rest[1:]
	if number, err := strconv.ParseFloat(word, 64); err == nil {
		return quantity{number: number}, nil
	}
	points, known := f.known[word]
	if !known {
		return quantity{}, fmt.Errorf("%q is no metric of the request", word)
	}
	if points == nil {
		points = series{}
	}
	return quantity{points: points}, nil
}

func combine(operator byte, a, b quantity) quantity {
	if a.points == nil && b.points == nil {
		n, _ := apply(operator, a.number, b.number)
		return quantity{number: n}
	}
	out := series{}
	at := func(q quantity, when time.Time) (float64, bool) {
		if q.points == nil {
			return q.number, true
		}
		v, there := q.points[when]
		return v, there
	}
	times := a.points
	if times == nil {
		times = b.points
	}
	for when := range times {
		x, ok1 := at(a, when)
		y, ok2 := at(b, when)
		if v, finite := apply(operator, x, y); ok1 && ok2 && finite {
			out[when] = v
		}
	}
	return quantity{points: out}
}

// apply computes one operation. It returns false for a division by zero, which yields no datapoint.
func apply(operator byte, a, b float64) (float64, bool) {
	switch operator {
	case '+':
		return a + b, true
	case '-':
		return a - b, true
	case '*':
		return a * b, true
	}
	return a / b, b != 0
}
