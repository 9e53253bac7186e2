package segment

import (
	"fmt"
	"iter"
	"math/bits"
	"strconv"
	"strings"
)

// Numbers is a set of task numbers of one segment, 0 to [Size]-1. The zero value is the empty set; values can be compared with ==.
type Numbers [Size / 64]uint64

// Of returns the set of these numbers. It panics for a number outside 0..Size-1, so input from outside has to be checked first.
func Of(numbers ...int) Numbers {
	var s Numbers
	for _, n := range numbers {
		s[n/64] |= 1 << (n % 64)
	}
	return s
}

// Range returns the set first..last, both included. It is empty if last < first.
func Range(first, last int) Numbers {
	var s Numbers
	for n := first; n <= last; n++ {
		s[n/64] |= 1 << (n % 64)
	}
	return s
}

// Contains reports whether n is in the set.
func (s Numbers) Contains(n int) bool { return n >= 0 && n < Size && s[n/64]&(1<<(n%64)) != 0 }

// Empty reports whether the set has no numbers.
func (s Numbers) Empty() bool { return s == Numbers{} }

// Len returns the size of the set.
func (s Numbers) Len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// Union returns the numbers that are in either set.
func (s Numbers) Union(o Numbers) Numbers {
	for i := range s {
		s[i] |= o[i]
	}
	return s
}

// Minus returns the numbers that are in s and not in o.
func (s Numbers) Minus(o Numbers) Numbers {
	for i := range s {
		s[i] &^= o[i]
	}
	return s
}

// Intersect returns the numbers that are in both sets.
func (s Numbers) Intersect(o Numbers) Numbers {
	for i := range s {
		s[i] &= o[i]
	}
	return s
}

// All yields the numbers in ascending order.
func (s Numbers) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for i, w := range s {
			for ; w != 0; w &= w - 1 {
				if !yield(i*64 + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

// First returns the k lowest numbers of the set, or all if it has fewer.
func (s Numbers) First(k int) Numbers {
	var out Numbers
	for n := range s.All() {
		if k <= 0 {
			break
		}
		out = out.Union(Of(n))
		k--
	}
	return out
}

// Min returns the lowest number, or -1 for the empty set.
func (s Numbers) Min() int {
	for n := range s.All() {
		return n
	}
	return -1
}

// Max returns the highest number, or -1 for the empty set.
func (s Numbers) Max() int {
	highest := -1
	for n := range s.All() {
		highest = n
	}
	return highest
}

// String returns the set as ranges in ascending order, "0-4,7". The set is stored in this form.
func (s Numbers) String() string {
	var b strings.Builder
	for n := 0; n < Size; n++ {
		if !s.Contains(n) {
			continue
		}
		first := n
		for s.Contains(n + 1) {
			n++
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(first))
		if n > first {
			b.WriteString("-" + strconv.Itoa(n))
		}
	}
	return b.String()
}

// ParseNumbers reads the output of [Numbers.String].
func ParseNumbers(text string) (Numbers, error) {
	var s Numbers
	if text == "" {
		return s, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || first < 0 || last < first || last >= Size {
			return Numbers{}, fmt.Errorf("task numbers %q: %q is not a number or range within 0-%d", text, part, Size-1)
		}
		s = s.Union(Range(first, last))
	}
	return s, nil
}
