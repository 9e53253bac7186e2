package document

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/drover-run/drover/shared/core/lazyregexp"
)

// Reader collects all errors of a document while reading it, instead of stopping at the first one.
type Reader struct {
	File     string
	Errors   Errors
	Warnings Errors

	// UnknownIgnored skips unknown fields: a later version may store fields that an earlier one does not know.
	UnknownIgnored bool
	// NullIsAbsent treats a field without a value as absent, instead of refusing it.
	NullIsAbsent bool
}

// Value is a node with its path.
type Value struct {
	*Node

	Path string
}

// At returns the path of a member.
func (v Value) At(key string) string { return Join(v.Path, key) }

var plainKey = lazyregexp.New(`^[A-Za-z0-9_#-]+$`)

// Join returns the path of a member. It puts a name in brackets if it could be misread as several names.
func Join(path, key string) string {
	switch {
	case !plainKey.MatchString(key):
		return path + "[" + Shown(key) + "]"
	case path == "":
		return key
	}
	return path + "." + key
}

// Item returns the i-th value of a list.
func (v Value) Item(i int) Value {
	return Value{v.Items[i], fmt.Sprintf("%s[%d]", v.Path, i)}
}

// Refuse records an error about the value.
func (r *Reader) Refuse(v Value, format string, args ...any) {
	r.Errors = append(r.Errors, Error{File: r.File, Line: v.Line, Path: v.Path, Reason: fmt.Sprintf(format, args...)})
}

// Warn records that a valid value is not carried over.
func (r *Reader) Warn(v Value, format string, args ...any) {
	r.Warnings = append(r.Warnings, Error{File: r.File, Line: v.Line, Path: v.Path, Reason: fmt.Sprintf(format, args...)})
}

// Fields returns the mapping's members by name. It refuses and omits repeated, empty and unknown members, and a value that is no mapping.
func (r *Reader) Fields(v Value, known ...string) map[string]Value {
	fields := map[string]Value{}
	for name, member := range r.Members(v) {
		switch {
		case !slices.Contains(known, name):
			if !r.UnknownIgnored {
				r.Refuse(member, "is unknown; %s", DidYouMean(name, known))
			}
		case member.Kind != Nothing:
			fields[name] = member
		case !r.NullIsAbsent:
			r.Refuse(member, "has no value")
		}
	}
	return fields
}

// Members yields a mapping's members in the order written. For a repeated name it yields the first value.
func (r *Reader) Members(v Value) func(yield func(string, Value) bool) {
	return func(yield func(string, Value) bool) {
		if v.Kind != Mapping {
			r.Refuse(v, "must be a mapping, not %s", v.Describe())
			return
		}
		seen := map[string]bool{}
		for _, m := range v.Node.Members {
			at := Value{&Node{Kind: m.Value.Kind, Line: m.Line, Text: m.Value.Text, Number: m.Value.Number, Members: m.Value.Members, Items: m.Value.Items}, v.At(m.Key)}
			if seen[m.Key] {
				continue // already refused by checkNames
			}
			seen[m.Key] = true
			if !yield(m.Key, at) {
				return
			}
		}
	}
}

// CheckNames refuses names that appear twice in a mapping, anywhere in the document, because it is unclear which of the two counts. This includes settings
// that are not carried over.
func (r *Reader) CheckNames(v Value) {
	lines := make(map[string]int, len(v.Members))
	for _, m := range v.Members {
		at := Value{m.Value, v.At(m.Key)}
		if first, twice := lines[m.Key]; twice {
			again := Error{File: r.File, Line: m.Line, Path: at.Path, Reason: fmt.Sprintf("appears a second time, first in line %d", first)}
			// An alias repeats the same lines with another path.
			if !slices.ContainsFunc(r.Errors, func(told Error) bool { return told.Line == again.Line && told.Reason == again.Reason }) {
				r.Errors = append(r.Errors, again)
			}
			continue
		}
		lines[m.Key] = m.Line
		r.CheckNames(at)
	}
	for i := range v.Items {
		r.CheckNames(v.Item(i))
	}
}

// Describe returns the value in words, for messages.
func (n *Node) Describe() string {
	switch n.Kind {
	case Text:
		return "the text " + Shown(n.Text)
	case Number, Boolean:
		return ShownBare(n.Text)
	}
	return n.Kind.String()
}

// Shown quotes a text, and cuts it if it is too long for a message.
func Shown(s string) string { return strconv.Quote(ShownBare(s)) }

const longestShown = 80

// ShownBare returns a text without quotes, and cuts it if it is too long for a message.
func ShownBare(s string) string {
	if len(s) <= longestShown {
		return s
	}
	end := longestShown
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}

// Words reads a text that is not empty, and has no control characters and at most longest bytes.
func (r *Reader) Words(v Value, longest int) (string, bool) {
	switch {
	case v.Kind != Text:
		r.Refuse(v, "must be a text, not %s", v.Describe())
	case strings.TrimSpace(v.Text) == "":
		r.Refuse(v, "must not be empty")
	case len(v.Text) > longest:
		r.Refuse(v, "has %d bytes; want at most %d", len(v.Text), longest)
	case strings.ContainsFunc(v.Text, func(c rune) bool { return c < ' ' || c == 0x7f }):
		r.Refuse(v, "%s has a control character", Shown(v.Text))
	default:
		return v.Text, true
	}
	return "", false
}

// OneOf reads one of the known words.
func (r *Reader) OneOf(v Value, known ...string) (string, bool) {
	if v.Kind == Text && slices.Contains(known, v.Text) {
		return v.Text, true
	}
	if near := Nearest(v.Text, known); v.Kind == Text && near != "" {
		r.Refuse(v, "%s is unknown; did you mean %s?", Shown(v.Text), near)
		return "", false
	}
	r.Refuse(v, "must be one of %s, not %s", strings.Join(known, ", "), v.Describe())
	return "", false
}

// Decimal reads a finite number in [least, most].
func (r *Reader) Decimal(v Value, least, most float64) (float64, bool) {
	switch {
	case v.Kind != Number:
		r.Refuse(v, "must be a number, not %s", v.Describe())
	case math.IsNaN(v.Number) || math.IsInf(v.Number, 0):
		r.Refuse(v, "must be a finite number, not %s", ShownBare(v.Text))
	case lossy(v.Text, v.Number):
		r.Refuse(v, "%s has more digits than can be stored; it would become %s", ShownBare(v.Text), strconv.FormatFloat(v.Number, 'g', -1, 64))
	case v.Number < least || v.Number > most:
		r.Refuse(v, "must be %s, not %s", between(least, most), ShownBare(v.Text))
	default:
		return v.Number + 0, true // −0 becomes 0, because zero must have only one stored form
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

// Significant returns the digits of a decimal number without leading and trailing zeros, and the power of ten of the point before the first
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

// Whole reads a whole number in [least, most].
func (r *Reader) Whole(v Value, least, most int) (int, bool) {
	f, ok := r.Decimal(v, float64(least), float64(most))
	if ok && f != math.Trunc(f) {
		r.Refuse(v, "must be a whole number, not %s", ShownBare(v.Text))
		return 0, false
	}
	return int(f), ok
}

var wholeSeconds = lazyregexp.New(`^[0-9]{1,9}$`)

// Duration reads a Go duration ("90s", "15m") or whole seconds, as a number or as its digits, in [least, most].
func (r *Reader) Duration(v Value, least, most time.Duration) (time.Duration, bool) {
	d, ok := r.anyDuration(v)
	switch {
	case !ok:
		return 0, false
	case d < 0 && least == 0:
		r.Refuse(v, "must not be negative, but is %s", ShownBare(v.Text))
	case d < least:
		r.Refuse(v, "must be %s or more, not %s", Brief(least), ShownBare(v.Text))
	case d > most:
		r.Refuse(v, "must be %s or less, not %s", Brief(most), ShownBare(v.Text))
	default:
		return d, true
	}
	return 0, false
}

func (r *Reader) anyDuration(v Value) (time.Duration, bool) {
	const wanted = `must be a duration like "90s" or "15m", or whole seconds, not %s`
	switch {
	case v.Kind == Text && wholeSeconds.MatchString(v.Text):
		n, _ := strconv.Atoi(v.Text)
		return time.Duration(n) * time.Second, true
	case v.Kind == Text:
		if d, err := time.ParseDuration(v.Text); err == nil {
			return d, true
		}
	case v.Kind == Number && v.Number == math.Trunc(v.Number):
		// The bound exceeds every limit, and a Duration can hold it.
		return time.Duration(max(-1e9, min(v.Number, 1e9))) * time.Second, true
	}
	r.Refuse(v, wanted, v.Describe())
	return 0, false
}

// Brief formats a duration without zero parts: 15m, not 15m0s. time.ParseDuration reads it.
func Brief(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// Has reports whether a mapping has a member of this name.
func (n *Node) Has(key string) bool {
	return slices.ContainsFunc(n.Members, func(m Member) bool { return m.Key == key })
}

// Counted returns the value in words, a list by its length.
func (n *Node) Counted() string {
	if n.Kind == List {
		return fmt.Sprintf("a list of %d", len(n.Items))
	}
	return n.Describe()
}
