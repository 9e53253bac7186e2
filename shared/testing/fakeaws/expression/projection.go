package expression

import "slices"

// Projection names the attributes that a read returns.
type Projection struct{ attributes []string }

// ParseProjection reads a list of attributes.
func ParseProjection(text string) (*Projection, error) {
	p, err := parse(text)
	if err != nil {
		return nil, err
	}
	out := &Projection{}
	for {
		one, err := p.attribute()
		if err != nil {
			return nil, err
		}
		out.attributes = append(out.attributes, one)
		if !p.accept(",") {
			return out, p.end()
		}
	}
}

// Bind checks the projection against the placeholders of a request, and marks those that it uses.
func (p *Projection) Bind(s *Scope) (*Projection, error) {
	out := &Projection{}
	for _, raw := range p.attributes {
		name, err := s.name(raw)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out.attributes, name) {
			return nil, overlap(path{name}, path{name})
		}
		out.attributes = append(out.attributes, name)
	}
	return out, nil
}

// Of returns a copy of the attributes that the projection names.
func (p *Projection) Of(it Item) Item {
	out := Item{}
	for _, name := range p.attributes {
		if v := it[name]; v != nil {
			out[name] = Clone(v)
		}
	}
	return out
}
