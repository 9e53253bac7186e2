package job

import (
	"maps"
	"strconv"
	"strings"
)

// flags are the isolate_… and max_…_per_batch attributes of chunkable attributes that hold at some level. A nil map has none.
type flags map[string]*value

// flagsOf are those that stand at one level. A size of null or false says nothing, while an isolate of null or false is a flag that is not
// set, and may so overrule another level's.
func (s *splitter) flagsOf(level *value) flags {
	var own flags
	for i, name := range level.names {
		v := &level.children[i]
		if isSize, known := s.flagNames[name]; !known || isSize && (v.kind == kindNull || v.text == "false" && v.kind == kindBoolean) {
			continue
		}
		if own == nil {
			own = flags{}
		}
		own[name] = v
	}
	return own
}

// over returns both, f's flags winning where both have one. Neither is changed.
func (f flags) over(others flags) flags {
	if len(f) == 0 {
		return others
	}
	if len(others) == 0 {
		return f
	}
	merged := maps.Clone(others)
	maps.Copy(merged, f)
	return merged
}

// ask tells whether the attribute is to be cut.
func (f flags) ask(a attribute) bool {
	for _, name := range a.set {
		if v := f[name]; v != nil && !v.empty() {
			return true
		}
	}
	return false
}

// checkSizes refuses a bad size where it stands, which may be above the level whose values it is for.
func (s *splitter) checkSizes(attributes []attribute, own flags, path string) *Error {
	for _, a := range attributes {
		if v := own[a.size]; v != nil {
			if n, ok := wholeNumber(v); !ok || n < 1 {
				return refuse(join(path, a.size), "is %s; want a whole number from 1", s.job.show(v))
			}
		}
	}
	return nil
}

// batchSize is the most values that one task may get: 1 when nobody said. The size has been found good.
func (f flags) batchSize(a attribute) int {
	v := f[a.size]
	if v == nil {
		return 1
	}
	n, _ := wholeNumber(v)
	return n
}

// wholeNumber reads a size as sosw does: a number without what follows its point, digits in text, and true as 1. What is larger than
// any list counts as such.
func wholeNumber(v *value) (int, bool) {
	const huge = 1 << 40
	switch v.kind {
	case kindBoolean:
		return 1, v.text == "true"
	case kindText:
		n, err := strconv.Atoi(strings.TrimSpace(v.text))
		return n, err == nil
	case kindNumber:
		f, err := strconv.ParseFloat(v.text, 64)
		return int(max(-1, min(f, huge))), err == nil
	default:
		return 0, false
	}
}
