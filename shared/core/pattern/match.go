package pattern

// set is a set of small numbers.
type set []uint64

func newSet(size int) set    { return make(set, (size+63)/64) }
func (s set) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s set) has(i int) bool { return s[i/64]&(1<<(i%64)) != 0 }
func (s set) join(others set) {
	for i, word := range others {
		s[i] |= word
	}
}

// part is a value of the metadata, reduced to what the pattern asks of it.
type part struct {
	list     bool
	direct   set     // leaves that the value itself meets; for a list, that one of its elements meets that is neither object nor list
	meets    set     // leaves that a value in it meets
	fields   set     // steps that end in a value in it
	below    []*part // of an object, parallel to the step's names; nil where nothing is
	elements []*part // of a list: its objects and lists
	free     bool    // there is no object in a list in it: what holds by itself holds together
}

// matcher reduces metadata to parts.
type matcher struct{ *Pattern }

func (m matcher) newPart() *part {
	return &part{meets: newSet(len(m.leaves)), fields: newSet(len(m.trie)), free: true}
}

// reduce returns the part of a value at a step, nil if the pattern asks nothing of it.
func (m matcher) reduce(v *value, at int) *part {
	s := &m.trie[at]
	switch v.kind {
	case kindObject:
		return m.reduceObject(v, s)
	case kindList:
		return m.reduceList(v, at)
	case kindNull, kindBoolean, kindNumber, kindText:
	}
	if len(s.leaves) == 0 {
		return nil
	}
	p := m.newPart()
	p.direct = newSet(len(m.leaves))
	m.look(p, v, at)
	return p
}

// look enters which leaves of a step a value meets that is neither object nor list.
func (m matcher) look(p *part, v *value, at int) {
	p.fields.add(at)
	for _, id := range m.trie[at].leaves {
		if p.direct.has(id) {
			continue
		}
		for _, o := range m.leaves[id].values {
			if o.holds(v.scalar) {
				p.direct.add(id)
				p.meets.add(id)
				break
			}
		}
	}
}

func (m matcher) reduceObject(v *value, s *step) *part {
	var p *part
	for i, name := range s.names {
		child := v.find(name)
		if child == nil {
			continue
		}
		below := m.reduce(child, s.below[i])
		if below == nil {
			continue
		}
		if p == nil {
			p = m.newPart()
			p.below = make([]*part, len(s.names))
		}
		p.below[i] = below
		p.take(below)
	}
	return p
}

func (p *part) take(below *part) {
	p.meets.join(below.meets)
	p.fields.join(below.fields)
	p.free = p.free && below.free
}

func (m matcher) reduceList(v *value, at int) *part {
	p := m.newPart()
	p.list, p.direct = true, newSet(len(m.leaves))
	asked := false
	for i := range v.children {
		item := &v.children[i]
		switch {
		case item.kind >= kindList:
			if below := m.reduce(item, at); below != nil {
				p.elements = append(p.elements, below)
				p.take(below)
				p.free, asked = false, true
			}
		case len(m.trie[at].leaves) > 0:
			m.look(p, item, at)
			asked = true
		}
	}
	if !asked {
		return nil
	}
	return p
}

// absent reports whether the field of a leaf is absent in a part, and may be.
func (m matcher) absent(p *part, id int) bool {
	l := &m.leaves[id]
	return l.absent && (p == nil || !p.fields.has(l.end()))
}

// holds reports whether the leaves hold together in a part at a step. It does what event-ruler does, without its search: there, each leaf in turn
// takes a value that meets it, and thereby chooses an element of each list on the way, which the later leaves keep to. Values below different
// names of an object share no list that was not chosen before. So they are independent, and within a list one element has to do for all
// leaves from the first one on that needs an element.
func (m matcher) holds(p *part, ids []int, at int) bool {
	for _, id := range ids {
		met := p != nil && p.meets.has(id)
		if !met && !m.leaves[id].absent || !met && p != nil && p.free && !m.absent(p, id) {
			return false
		}
	}
	switch {
	case p == nil || p.free:
		return true
	case p.list:
		return m.listHolds(p, ids, at)
	}
	s := &m.trie[at]
	for i, below := range s.below {
		var own []int
		for _, id := range ids {
			if steps := m.leaves[id].steps; len(steps) > s.depth+1 && steps[s.depth+1] == below {
				own = append(own, id)
			}
		}
		if len(own) > 0 && !m.holds(p.below[i], own, below) {
			return false
		}
	}
	return true
}

// listHolds does so for a list in which no element was chosen yet. A leaf of the list's own field can only be the first one.
func (m matcher) listHolds(p *part, ids []int, at int) bool {
	for i, id := range ids {
		if m.absent(p, id) {
			continue
		}
		if p.direct.has(id) && m.listHolds(p, ids[i+1:], at) {
			return true
		}
		for _, element := range p.elements {
			if element.meets.has(id) && m.holds(element, ids[i:], at) {
				return true
			}
		}
		return false
	}
	return true
}

// find returns an object's child of that name, nil if there is none.
func (v *value) find(name string) *value {
	if v.places != nil {
		if i, ok := v.places[name]; ok {
			return &v.children[i]
		}
		return nil
	}
	for i := range v.names {
		if v.names[i] == name {
			return &v.children[i]
		}
	}
	return nil
}
