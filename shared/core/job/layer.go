package job

// layer holds one level of a job that is cut: the attributes that all tasks below it share. A task's payload consists of its layers, from the outermost to
// the innermost; of attributes with the same name the innermost wins. Layers only point into the job's text.
type layer struct {
	above  *layer
	path   string // of the object that has the attributes
	names  []string
	texts  [][]byte       // each attribute as written: "name":value
	places map[string]int // indexes of the names, if there are many
	hides  bool           // a name in this layer or in one above it also appears further out
	size   int            // bytes of all visible attributes from here to the top, with a comma after each
	dates  int            // the most bytes of date_list, in the layer that has only it; 0 in others
}

func newLayer(above *layer, path string) *layer {
	l := &layer{above: above, path: path}
	if above != nil {
		l.size, l.hides = above.size, above.hides
	}
	return l
}

func (l *layer) add(name string, attribute []byte) {
	if hidden := l.above.lookup(name); hidden > 0 {
		l.hides = true
		l.size -= hidden + 1
	}
	l.names, l.texts = append(l.names, name), append(l.texts, attribute)
	l.size += len(attribute) + 1
	l.places = note(l.names, l.places)
}

// withDates adds a layer for date_list, of at most width bytes, below one that has no attribute with this name.
func withDates(above *layer, width int) *layer {
	l := newLayer(above, "")
	l.names, l.texts, l.dates = []string{dateList}, [][]byte{nil}, width
	l.size += width + 1
	return l
}

// lookup returns the bytes of the attribute that a task below sees under the name, or 0 if it sees none.
func (l *layer) lookup(name string) int {
	for ; l != nil; l = l.above {
		if i, ok := find(l.names, l.places, name); ok {
			return max(l.dates, len(l.texts[i]))
		}
	}
	return 0
}

// hidden reports whether the leaf, or a layer between the leaf and l, has an attribute with the name.
func (l *layer) hidden(name string, leaf *layer) bool {
	for ; leaf != l; leaf = leaf.above {
		if _, ok := find(leaf.names, leaf.places, name); ok {
			return true
		}
	}
	return false
}

// appendTo appends the attributes that a task sees, outermost first, with a comma after each. leaf is the task's innermost layer. cut names
// the attribute of which the task has a batch; it comes after all layers.
func (l *layer) appendTo(payload []byte, leaf *layer, cut string, dates func([]byte) []byte) []byte {
	if l == nil {
		return payload
	}
	payload = l.above.appendTo(payload, leaf, cut, dates)
	for i, text := range l.texts {
		if leaf.hides && l.hidden(l.names[i], leaf) || l.names[i] == cut {
			continue
		}
		if l.dates > 0 {
			payload = dates(payload)
		} else {
			payload = append(payload, text...)
		}
		payload = append(payload, ',')
	}
	return payload
}

// widest returns the path and the size of the largest attribute that a task sees.
func (l *layer) widest() (path string, size int) {
	for leaf := l; l != nil; l = l.above {
		for i, name := range l.names {
			if bytes := max(l.dates, len(l.texts[i])); bytes > size && !l.hidden(name, leaf) {
				path, size = join(l.path, name), bytes
				if l.dates > 0 {
					path = "period"
				}
			}
		}
	}
	return path, size
}
