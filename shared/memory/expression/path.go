package expression

import (
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// path leads to an attribute, or into it: a.b[3].#c.
type path []step

type step struct {
	name  string // "" for an index
	index int
}

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
		out = append(out, step{name: string(word)})
		for p.accept("[") {
			digits := p.next()
			n, err := strconv.Atoi(string(digits))
			if err != nil {
				return nil, syntax(digits)
			}
			if err := p.expect("]"); err != nil {
				return nil, err
			}
			out = append(out, step{index: n})
		}
		if !p.accept(".") {
			return out, nil
		}
	}
}

// resolve puts the real names in the place of placeholders.
func (s *Scope) resolve(raw path) (path, error) {
	out := make(path, len(raw))
	for i, one := range raw {
		out[i] = one
		if one.name != "" {
			name, err := s.name(one.name)
			if err != nil {
				return nil, err
			}
			out[i].name = name
		}
	}
	return out, nil
}

func (p path) String() string {
	var b strings.Builder
	for i, one := range p {
		switch {
		case one.name == "":
			b.WriteString("[" + strconv.Itoa(one.index) + "]")
		case i > 0:
			b.WriteString("." + one.name)
		default:
			b.WriteString(one.name)
		}
	}
	return b.String()
}

// in finds what the path leads to; nil when there is nothing.
func (p path) in(it Item) types.AttributeValue {
	v := it[p[0].name]
	for _, one := range p[1:] {
		if v = one.of(v); v == nil {
			return nil
		}
	}
	return v
}

func (s step) of(v types.AttributeValue) types.AttributeValue {
	switch v := v.(type) {
	case *types.AttributeValueMemberM:
		if s.name != "" {
			return v.Value[s.name]
		}
	case *types.AttributeValueMemberL:
		if s.name == "" && s.index < len(v.Value) {
			return v.Value[s.index]
		}
	}
	return nil
}

var errPath = refuse("The document path provided in the update expression is invalid for update")

// set puts a value where the path leads; all but its last step must exist.
func (p path) set(it Item, v types.AttributeValue) error {
	last := p[len(p)-1]
	if len(p) == 1 {
		it[last.name] = v
		return nil
	}
	switch parent := p[:len(p)-1].in(it).(type) {
	case *types.AttributeValueMemberM:
		if last.name == "" {
			return errPath
		}
		parent.Value[last.name] = v
		return nil
	case *types.AttributeValueMemberL:
		if last.name != "" {
			return errPath
		}
		if last.index < len(parent.Value) {
			parent.Value[last.index] = v
		} else { // at the end, however far behind it the index is
			parent.Value = append(parent.Value, v)
		}
		return nil
	}
	return errPath
}

// remove takes away what the path leads to; its parent must exist, it need not.
func (p path) remove(it Item) error {
	last := p[len(p)-1]
	if len(p) == 1 {
		delete(it, last.name)
		return nil
	}
	switch parent := p[:len(p)-1].in(it).(type) {
	case *types.AttributeValueMemberM:
		if last.name == "" {
			return errPath
		}
		delete(parent.Value, last.name)
		return nil
	case *types.AttributeValueMemberL:
		if last.name != "" {
			return errPath
		}
		if last.index < len(parent.Value) {
			parent.Value = append(parent.Value[:last.index:last.index], parent.Value[last.index+1:]...)
		}
		return nil
	}
	return errPath
}

// overlaps tells whether one path is the other, or leads into it.
func (p path) overlaps(o path) bool {
	for i := range min(len(p), len(o)) {
		if p[i] != o[i] {
			return false
		}
	}
	return true
}
