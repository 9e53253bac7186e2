package weather

import (
	"fmt"
	"strconv"
	"strings"
)

// Tenths is a measured value in tenths of its unit (12.8 °C is 128), as NOAA records it. Sums of integers do not depend on order or grouping, so the
// combined results of many workers can be compared exactly.
type Tenths int64

// ParseTenths reads a decimal number with at most one digit after the point.
func ParseTenths(text string) (Tenths, error) {
	whole, fraction, hasPoint := strings.Cut(text, ".")
	if !hasPoint {
		fraction = "0"
	}
	digits := strings.TrimPrefix(whole, "-")
	if len(fraction) != 1 || digits == "" || strings.Trim(digits+fraction, "0123456789") != "" {
		return 0, fmt.Errorf("%q is not a number with at most one decimal, such as -1.5", text)
	}
	tenths, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is out of range", text)
	}
	return Tenths(tenths), nil
}

func (t Tenths) String() string {
	sign := ""
	if t < 0 {
		sign = "-"
	}
	return fmt.Sprintf("%s%d.%d", sign, abs(t/10), abs(t%10))
}

func abs(t Tenths) int64 {
	return max(int64(t), -int64(t))
}

// MarshalJSON writes a JSON number with one decimal.
func (t Tenths) MarshalJSON() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalJSON reads what MarshalJSON writes.
func (t *Tenths) UnmarshalJSON(text []byte) error {
	parsed, err := ParseTenths(string(text))
	if err != nil {
		return err
	}
	*t = parsed
	return nil
}
