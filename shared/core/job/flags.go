package job

import (
	"maps"
	"strconv"
	"strings"
)

// flags holds the isolate_… and max_…_per_batch attributes that apply at a level, by name. A nil map has none.
type flags map[string]flag

type flag struct {
	*value
	level string // path of the object that has the flag, for error messages; "" if no error is possible
}

// flagsOf returns the flags of one level. A size of null or false is ignored; an isolate of null or false is an unset flag, and may
// override that of another level.
func (s *splitter) flagsOf(level *value, path string) flags {
	var own flags
	for i, name := range level.names {
		v := &level.children[i]
		if isSize, known := s.flagNames[name]; !known || isSize && (v.kind == kindNull || v.text == "false" && v.kind == kindBoolean) {
			continue
		}
		if own == nil {
			own = flags{}
		}
		own[name] = flag{v, path}
	}
	return own
}

// checkFlag refuses texts that mean no ("false", "off"). sosw treats any non-empty text as true, which their author clearly does not want.
func checkFlag(name string, v *value, path string) *Error {
	switch strings.ToLower(strings.TrimSpace(v.text)) {
	case "false", "no", "off", "n", "f", "0", "none", "null":
		if v.kind == kindText {
			return refuse(join(path, name), "is the text %q, which sosw treats as true; want true or false without quotes", shorten(v.text))
		}
	}
	return nil
}

// checkFlags refuses flags of a level that different readers would interpret differently.
func (s *splitter) checkFlags(level *value, path string) *Error {
	for i, name := range level.names {
		if isSize, known := s.flagNames[name]; known && !isSize {
			if err := checkFlag(name, &level.children[i], path); err != nil {
				return err
			}
		}
	}
	return nil
}

// over returns the flags of both maps; f's override the others'. It changes neither map.
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

// ask reports whether one of the flags asks to cut the attribute.
func (f flags) ask(a attribute) bool {
	for _, name := range a.set {
		if v, ok := f[name]; ok && !v.empty() {
			return true
		}
	}
	return false
}

// batchSize returns the most values that one task may get, by default 1. The error about a bad size names the level that has the size, which may be above
// the level whose values it applies to.
func (s *splitter) batchSize(a attribute, effective flags) (int, *Error) {
	size, ok := effective[a.size]
	if !ok {
		return 1, nil
	}
	n, ok := wholeNumber(size.value)
	if !ok || n < 1 {
		return 0, refuse(join(size.level, a.size), "is %s; want a whole number from 1", s.job.show(size.value))
	}
	return n, nil
}

// wholeNumber reads a size like sosw: a number without its fraction, digits in a text, and true as 1. It limits the size to that of the largest list.
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
