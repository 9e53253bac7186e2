// Package lazyregexp compiles regular expressions when they are first used. A command, or the cold start of a function, then pays for none that it
// does not use: those with a bounded repetition take milliseconds.
package lazyregexp

import (
	"regexp"
	"sync"
)

// Regexp is a regular expression. It may be used concurrently.
type Regexp struct{ compiled func() *regexp.Regexp }

// New returns an expression. A faulty one panics when it is first used.
func New(expression string) *Regexp {
	return &Regexp{sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })}
}

// MatchString reports whether a text has a match.
func (r *Regexp) MatchString(text string) bool { return r.compiled().MatchString(text) }

// FindStringSubmatch returns the leftmost match and its groups, or nil.
func (r *Regexp) FindStringSubmatch(text string) []string {
	return r.compiled().FindStringSubmatch(text)
}
