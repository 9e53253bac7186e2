package expression

import "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

// Projection is the parts of an item that are asked for.
type Projection struct{ paths []path }

// ParseProjection reads a list of document paths.
func ParseProjection(text string) (*Projection, error) {
	p, err := parse(text)
	if err != nil {
		return nil, err
	}
	out := &Projection{}
	for {
		one, err := p.path()
		if err != nil {
			return nil, err
		}
		out.paths = append(out.paths, one)
		if !p.accept(",") {
			return out, p.end()
		}
	}
}

// Bind checks the projection against the placeholders of a request, and marks those that it uses.
func (p *Projection) Bind(s *Scope) (*Projection, error) {
	out := &Projection{}
	for _, raw := range p.paths {
		one, err := s.resolve(raw)
		if err != nil {
			return nil, err
		}
		for _, earlier := range out.paths {
			if one.overlaps(earlier) {
				return nil, refuse("Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [%s], path two: [%s]", earlier, one)
			}
		}
		out.paths = append(out.paths, one)
	}
	return out, nil
}

// Of is what of the item is asked for.
func (p *Projection) Of(it Item) Item {
	out := Item{}
	for _, one := range p.paths {
		if v := one.in(it); v != nil {
			if top, whole := project(out[one[0].name], one[1:], v); whole {
				out[one[0].name] = top
			}
		}
	}
	return out
}

// project puts a value into what is projected already, along a path. Lists come out without the elements that were not asked for.
func project(into types.AttributeValue, along path, v types.AttributeValue) (types.AttributeValue, bool) {
	if len(along) == 0 {
		return Clone(v), true
	}
	if along[0].name == "" {
		list, _ := into.(*types.AttributeValueMemberL)
		if list == nil {
			list = &types.AttributeValueMemberL{}
		}
		one, whole := project(nil, along[1:], v)
		list.Value = append(list.Value, one)
		return list, whole
	}
	m, _ := into.(*types.AttributeValueMemberM)
	if m == nil {
		m = &types.AttributeValueMemberM{Value: Item{}}
	}
	one, whole := project(m.Value[along[0].name], along[1:], v)
	m.Value[along[0].name] = one
	return m, whole
}
