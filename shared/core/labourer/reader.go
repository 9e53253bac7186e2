package labourer

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// reader collects all errors of a document, instead of stopping at the first one.
type reader struct {
	file     string
	errors   Errors
	warnings Errors

	// targetOptional accepts a labourer without a target, if only its pace or its jobs matter.
	targetOptional bool
	// sosw is set for a configuration of sosw.
	sosw *soswDefaults
	// unknownIgnored skips unknown fields: items that a later version stores must not stop an earlier one that still runs.
	unknownIgnored bool
}

// value is a node with its path.
type value struct {
	*node
	path string
}

func (v value) at(key string) string { return join(v.path, key) }

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_#-]+$`)

// join returns the path of a member. It puts a name in brackets if it could be misread as several names.
func join(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + shown(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

func (v value) item(i int) value {
	return value{v.items[i], fmt.Sprintf("%s[%d]", v.path, i)}
}

// refuse records an error about the value.
func (r *reader) refuse(v value, format string, args ...any) {
	r.errors = append(r.errors, Error{File: r.file, Line: v.line, Path: v.path, Reason: fmt.Sprintf(format, args...)})
}

// warn records that a valid value is not carried over.
func (r *reader) warn(v value, format string, args ...any) {
	r.warnings = append(r.warnings, Error{File: r.file, Line: v.line, Path: v.path, Reason: fmt.Sprintf(format, args...)})
}

// fields returns the mapping's members by name. It refuses and omits repeated, empty and unknown members, and a value that is no mapping.
func (r *reader) fields(v value, known ...string) map[string]value {
	fields := map[string]value{}
	for name, member := range r.members(v) {
		switch {
		case !slices.Contains(known, name):
			if !r.unknownIgnored {
				r.refuse(member, "is unknown; %s", didYouMean(name, known))
			}
		case member.kind != nothing:
			fields[name] = member
		case r.sosw == nil: // sosw treats null as absent
			r.refuse(member, "has no value")
		}
	}
	return fields
}

// members yields a mapping's members in the order written. For a repeated name it yields the first value.
func (r *reader) members(v value) func(yield func(string, value) bool) {
	return func(yield func(string, value) bool) {
		if v.kind != mapping {
			r.refuse(v, "must be a mapping, not %s", v.describe())
			return
		}
		seen := map[string]bool{}
		for _, m := range v.node.members {
			at := value{&node{kind: m.value.kind, line: m.line, text: m.value.text, number: m.value.number, members: m.value.members, items: m.value.items}, v.at(m.key)}
			if seen[m.key] {
				continue // already refused by checkNames
			}
			seen[m.key] = true
			if !yield(m.key, at) {
				return
			}
		}
	}
}

// checkNames refuses names that appear twice in a mapping, anywhere in the document, because it is unclear which of the two counts. This includes settings
// that are not carried over.
func (r *reader) checkNames(v value) {
	lines := make(map[string]int, len(v.members))
	for _, m := range v.members {
		at := value{m.value, v.at(m.key)}
		if first, twice := lines[m.key]; twice {
			again := Error{File: r.file, Line: m.line, Path: at.path, Reason: fmt.Sprintf("appears a second time, first in line %d", first)}
			// An alias repeats the same lines with another path.
			if !slices.ContainsFunc(r.errors, func(told Error) bool { return told.Line == again.Line && told.Reason == again.Reason }) {
				r.errors = append(r.errors, again)
			}
			continue
		}
		lines[m.key] = m.line
		r.checkNames(at)
	}
	for i := range v.items {
		r.checkNames(v.item(i))
	}
}

// describe returns the value in words, for messages.
func (n *node) describe() string {
	switch n.kind {
	case text:
		return "the text " + shown(n.text)
	case number, boolean:
		return shownBare(n.text)
	}
	return n.kind.String()
}

// shown quotes a text, and cuts it if it is too long for a message.
func shown(s string) string { return strconv.Quote(shownBare(s)) }

const longestShown = 80

func shownBare(s string) string {
	if len(s) <= longestShown {
		return s
	}
	end := longestShown
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// words reads a text that is not empty, and has no control characters and at most longest bytes.
func (r *reader) words(v value, longest int) (string, bool) {
	switch {
	case v.kind != text:
		r.refuse(v, "must be a text, not %s", v.describe())
	case strings.TrimSpace(v.text) == "":
		r.refuse(v, "must not be empty")
	case len(v.text) > longest:
		r.refuse(v, "has %d bytes; want at most %d", len(v.text), longest)
	case strings.ContainsFunc(v.text, func(c rune) bool { return c < ' ' || c == 0x7f }):
		r.refuse(v, "%s has a control character", shown(v.text))
	default:
		return v.text, true
	}
	return "", false
}

// oneOf reads one of the known words.
func (r *reader) oneOf(v value, known ...string) (string, bool) {
	if v.kind == text && slices.Contains(known, v.text) {
		return v.text, true
	}
	if near := nearest(v.text, known); v.kind == text && near != "" {
		r.refuse(v, "%s is unknown; did you mean %s?", shown(v.text), near)
		return "", false
	}
	r.refuse(v, "must be one of %s, not %s", strings.Join(known, ", "), v.describe())
	return "", false
}

// decimal reads a finite number in [least, most].
func (r *reader) decimal(v value, least, most float64) (float64, bool) {
	switch {
	case v.kind != number:
		r.refuse(v, "must be a number, not %s", v.describe())
	case math.IsNaN(v.number) || math.IsInf(v.number, 0):
		r.refuse(v, "must be a finite number, not %s", shownBare(v.text))
	case lossy(v.text, v.number):
		r.refuse(v, "%s has more digits than can be stored; it would become %s", shownBare(v.text), strconv.FormatFloat(v.number, 'g', -1, 64))
	case v.number < least || v.number > most:
		r.refuse(v, "must be %s, not %s", between(least, most), shownBare(v.text))
	default:
		return v.number + 0, true // −0 becomes 0, because zero must have only one stored form
	}
	return 0, false
}

// lossy reports whether a number as written differs from the stored one. It does not check hexadecimal digits.
func lossy(written string, kept float64) bool {
	digits, exponent, ok := significant(written)
	if !ok {
		return false
	}
	keptDigits, keptExponent, _ := significant(strconv.FormatFloat(kept, 'e', -1, 64))
	return digits != keptDigits || digits != "" && exponent != keptExponent
}

// significant returns the digits of a decimal number without leading and trailing zeros, and the power of ten of the point before the first
// digit.
func significant(written string) (digits string, exponent int, ok bool) {
	mantissa, power, hasPower := strings.Cut(strings.ToLower(strings.TrimLeft(written, "+-")), "e")
	if hasPower {
		var err error
		if exponent, err = strconv.Atoi(power); err != nil {
			return "", 0, false
		}
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if strings.Trim(whole+fraction, "0123456789") != "" {
		return "", 0, false
	}
	digits = strings.TrimLeft(whole+fraction, "0")
	exponent += len(whole) - (len(whole+fraction) - len(digits))
	return strings.TrimRight(digits, "0"), exponent, true
}

func between(least, most float64) string {
	switch {
	case most == math.MaxFloat64:
		return fmt.Sprintf("%v or more", least)
	default:
		return fmt.Sprintf("between %v and %v", least, most)
	}
}

// whole reads a whole number in [least, most].
func (r *reader) whole(v value, least, most int) (int, bool) {
	f, ok := r.decimal(v, float64(least), float64(most))
	if ok && f != math.Trunc(f) {
		r.refuse(v, "must be a whole number, not %s", shownBare(v.text))
		return 0, false
	}
	return int(f), ok
}

var wholeSeconds = regexp.MustCompile(`^[0-9]{1,9}$`)

// duration reads a Go duration ("90s", "15m") or whole seconds, as a number or as its digits, in [least, MaxSpan].
func (r *reader) duration(v value, least time.Duration) (time.Duration, bool) {
	d, ok := r.anyDuration(v)
	switch {
	case !ok:
		return 0, false
	case d < 0 && least == 0:
		r.refuse(v, "must not be negative, but is %s", shownBare(v.text))
	case d < least:
		r.refuse(v, "must be %s or more, not %s", brief(least), shownBare(v.text))
	case d > MaxSpan:
		r.refuse(v, "must be %s or less, not %s", brief(MaxSpan), shownBare(v.text))
	default:
		return d, true
	}
	return 0, false
}

func (r *reader) anyDuration(v value) (time.Duration, bool) {
	const wanted = `must be a duration like "90s" or "15m", or whole seconds, not %s`
	switch {
	case v.kind == text && wholeSeconds.MatchString(v.text):
		n, _ := strconv.Atoi(v.text)
		return time.Duration(n) * time.Second, true
	case v.kind == text:
		if d, err := time.ParseDuration(v.text); err == nil {
			return d, true
		}
	case v.kind == number && v.number == math.Trunc(v.number):
		// A number that a Duration cannot hold is also beyond MaxSpan.
		return time.Duration(max(-1e9, min(v.number, 1e9))) * time.Second, true
	}
	r.refuse(v, wanted, v.describe())
	return 0, false
}

// brief formats a duration without zero parts: 15m, not 15m0s. time.ParseDuration reads it.
func brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}
