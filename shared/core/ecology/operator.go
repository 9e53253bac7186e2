package ecology

// Operator compares a metric's value (left) with a feeling's target (right).
type Operator string

const (
	AtMost  Operator = "<="
	Under   Operator = "<"
	AtLeast Operator = ">="
	Over    Operator = ">"
)

// operators holds all spellings: the operators themselves, and their names in Python's module `operator`, which sosw used.
var operators = map[string]Operator{
	"<=": AtMost, "le": AtMost, "__le__": AtMost,
	"<": Under, "lt": Under, "__lt__": Under,
	">=": AtLeast, "ge": AtLeast, "__ge__": AtLeast,
	">": Over, "gt": Over, "__gt__": Over,
}

// ParseOperator reads one of <=, <, >=, >, or Python's le, lt, ge, gt and __le__, __lt__, __ge__, __gt__.
func ParseOperator(text string) (Operator, bool) {
	operator, ok := operators[text]
	return operator, ok
}

// holds reports whether the value meets the target. An invalid Operator never holds.
func (o Operator) holds(value, target float64) bool {
	switch o {
	case AtMost:
		return value <= target
	case Under:
		return value < target
	case AtLeast:
		return value >= target
	case Over:
		return value > target
	}
	return false
}

// LowerIsBetter reports whether lower values are better.
func (o Operator) LowerIsBetter() bool {
	return o == AtMost || o == Under
}
