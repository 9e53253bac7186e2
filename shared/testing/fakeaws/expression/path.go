package expression

import (
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// path leads to an attribute, or through maps to a value inside of it: a.#b.c.
type path []string

// path reads a document path.
func (p *parser) path() (path, error) {
	var out path
	for {
		word := p.next()
		if word == "" || !isLetter(word[0]) && word[0] != '#' {
			return nil, syntax(word)
		}
		if Reserved(string(word)) {
			return nil, refuse("Attribute name is a reserved keyword; reserved keyword: %s", word)
		}
		out = append(out, string(word))
		if p.peek() == "[" {
			return nil, unsupported("an element of a list")
		}
		if !p.accept(".") {
			return out, nil
		}
	}
}

// attribute reads the name of an attribute at the top of an item.
func (p *parser) attribute() (string, error) {
	out, err := p.path()
	if err != nil {
		return "", err
	}
	if len(out) > 1 {
		return "", unsupported("a path into an attribute, other than in SET, REMOVE or a condition,")
	}
	return out[0], nil
}

// placeholders reads a value's placeholder, or two with a word between them, into a test.
func (p *parser) placeholders(t *test, between string) error {
	first, err := p.placeholder()
	if err != nil {
		return err
	}
	t.placeholders = append(t.placeholders, first)
	if between == "" {
		return nil
	}
	if err := p.expect(between); err != nil {
		return err
	}
	return p.placeholders(t, "")
}

// placeholder reads the placeholder of a value.
func (p *parser) placeholder() (string, error) {
	switch t := p.peek(); {
	case strings.HasPrefix(string(t), ":"):
		return string(p.next()), nil
	case p.callsNext():
		return "", unsupported("the function " + string(t) + " as a value")
	case t != "" && (isLetter(t[0]) || t[0] == '#'):
		return "", unsupported("an attribute as a value")
	default:
		return "", syntax(t)
	}
}

// callsNext reports whether the next two tokens begin a function call.
func (p *parser) callsNext() bool {
	return len(p.rest) > 1 && isLetter(p.rest[0][0]) && p.rest[1] == "("
}

// resolve replaces placeholders by the names that they stand for.
func (s *Scope) resolve(raw path) (path, error) {
	out := slices.Clone(raw)
	for i, word := range raw {
		var err error
		if out[i], err = s.name(word); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (p path) String() string { return strings.Join(p, ".") }

var errPath = refuse("The document path provided in the update expression is invalid for update")

// parent returns the item or the map that the path's last name is in; ok is false if it does not exist.
func (p path) parent(it Item) (in Item, ok bool) {
	for _, name := range p[:len(p)-1] {
		m, ok := it[name].(*types.AttributeValueMemberM)
		if !ok {
			return nil, false
		}
		it = m.Value
	}
	return it, true
}

// of returns the value at the path's end; nil if there is none.
func (p path) of(it Item) types.AttributeValue {
	in, _ := p.parent(it)
	return in[p[len(p)-1]]
}

// set stores a value at the path's end, or removes what is there if v is nil. Everything before the end must exist.
func (p path) set(it Item, v types.AttributeValue) error {
	in, ok := p.parent(it)
	switch name := p[len(p)-1]; {
	case !ok:
		return errPath
	case v == nil:
		delete(in, name)
	default:
		in[name] = v
	}
	return nil
}

// overlaps reports whether one path is the other or leads into it.
func (p path) overlaps(o path) bool {
	n := min(len(p), len(o))
	return slices.Equal(p[:n], o[:n])
}
