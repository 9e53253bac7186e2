package pattern

import (
	"strconv"
	"strings"
)

// byValue returns the value of a JSON number, and whether EventBridge compares it by value. It does so if the number is exactly the one that
// the nearest double is written as: 0.1 and 300.0e-1, but not 9007199254740993, whose nearest double is 9007199254740992.
// https://github.com/aws/event-ruler/blob/main/src/main/software/amazon/event/ruler/ComparableNumber.java
func byValue(literal string) (float64, bool) {
	value, err := strconv.ParseFloat(literal, 64)
	if err != nil {
		return 0, false
	}
	digits, exponent, ok := decimal(literal)
	if !ok {
		return 0, false
	}
	if digits == "" {
		return 0, true // never -0, which is the same number
	}
	wanted, power, _ := decimal(strconv.FormatFloat(value, 'e', -1, 64))
	return value, digits == wanted && exponent == power
}

// decimal returns a number without its sign as digits times a power of ten. The digits neither begin nor end with 0; those of zero are "".
func decimal(literal string) (digits string, exponent int, ok bool) {
	literal = strings.TrimPrefix(literal, "-")
	if at := strings.IndexAny(literal, "eE"); at >= 0 {
		power, err := strconv.ParseInt(literal[at+1:], 10, 32)
		if err != nil {
			return "", 0, false
		}
		exponent, literal = int(power), literal[:at]
	}
	whole, fraction, _ := strings.Cut(literal, ".")
	digits = strings.TrimLeft(whole+fraction, "0")
	trimmed := strings.TrimRight(digits, "0")
	return trimmed, exponent - len(fraction) + len(digits) - len(trimmed), true
}
