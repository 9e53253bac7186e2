package expression

import (
	"math/big"
	"strconv"
	"strings"
)

// DynamoDB's numbers have up to 38 significant digits and magnitudes from 1E-130 to 9.99…E+125.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html
const (
	mostDigits   = 38
	mostExponent = 125
	fewExponent  = -130
)

// Canonical returns the form in which a number is stored: no leading or trailing zeros, no exponent.
func Canonical(text string) (string, error) {
	if n, err := strconv.ParseInt(text, 10, 64); err == nil {
		return strconv.FormatInt(n, 10), nil
	}
	sign, digits, exponent, err := decimal(text)
	if err != nil {
		return "", err
	}
	if digits == "" {
		return "0", nil
	}
	switch {
	case exponent >= 0:
		digits += strings.Repeat("0", exponent)
	case -exponent < len(digits):
		digits = digits[:len(digits)+exponent] + "." + digits[len(digits)+exponent:]
	default:
		digits = "0." + strings.Repeat("0", -exponent-len(digits)) + digits
	}
	return sign + digits, nil
}

// decimal splits a number into its sign, its digits without leading and trailing zeros, and the power of ten that they are multiplied by.
func decimal(text string) (sign, digits string, exponent int, err error) {
	wrong := refuse("The parameter cannot be converted to a numeric value: %s", text)
	rest := text
	if strings.HasPrefix(rest, "-") || strings.HasPrefix(rest, "+") {
		sign, rest = strings.TrimPrefix(rest[:1], "+"), rest[1:]
	}
	if at := strings.IndexAny(rest, "eE"); at >= 0 {
		exponent, err = strconv.Atoi(rest[at+1:])
		if err != nil || exponent > 1000 || exponent < -1000 {
			return "", "", 0, wrong
		}
		rest = rest[:at]
	}
	whole, fraction, _ := strings.Cut(rest, ".")
	digits = whole + fraction
	if digits == "" || strings.Trim(digits, "0123456789") != "" {
		return "", "", 0, wrong
	}
	exponent -= len(fraction)
	digits = strings.TrimLeft(digits, "0")
	short := strings.TrimRight(digits, "0")
	exponent += len(digits) - len(short)
	if short == "" {
		return "", "", 0, nil
	}
	if len(short) > mostDigits {
		return "", "", 0, refuse("Attempting to store more than 38 significant digits in a Number")
	}
	switch magnitude := exponent + len(short) - 1; {
	case magnitude > mostExponent:
		return "", "", 0, refuse("Number overflow. Attempting to store a number with magnitude larger than supported range")
	case magnitude < fewExponent:
		return "", "", 0, refuse("Number underflow. Attempting to store a number with magnitude smaller than supported range")
	}
	return sign, short, exponent, nil
}

func compareNumbers(a, b string) int {
	x, err1 := strconv.ParseInt(a, 10, 64)
	y, err2 := strconv.ParseInt(b, 10, 64)
	if err1 == nil && err2 == nil {
		switch {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	}
	return rational(a).Cmp(rational(b))
}

// sum returns a + b in canonical form.
func sum(a, b string) (string, error) {
	n, err1 := strconv.ParseInt(a, 10, 63)
	m, err2 := strconv.ParseInt(b, 10, 63)
	if err1 == nil && err2 == nil {
		return strconv.FormatInt(n+m, 10), nil
	}
	x := rational(a)
	x.Add(x, rational(b))
	if x.IsInt() {
		return Canonical(x.Num().String())
	}
	return Canonical(x.FloatString(-fewExponent + mostDigits))
}

// rational returns the value of a number that was checked before.
func rational(text string) *big.Rat {
	r, ok := new(big.Rat).SetString(text)
	if !ok {
		return new(big.Rat)
	}
	return r
}
