package job

// splitter cuts a job, level by level, into leaves: single tasks and batches.
type splitter struct {
	job        *Job
	attributes []attribute
	flagNames  map[string]bool // every flag of these attributes; true for those that give a size
	words      words           // every name that has a meaning because of these attributes
	leaves     []leaf
	tasks      int
	cut        string // path of the outermost attribute that is cut, "" if none

	largest     int // bytes of the largest payload
	largestPath string
}

func newSplitter(j *Job, schema Schema) *splitter {
	s := &splitter{job: j, attributes: schema.attributes(), flagNames: map[string]bool{}}
	var names []string
	for _, a := range s.attributes {
		for _, flag := range a.set {
			s.flagNames[flag] = flag == a.size
		}
		names = append(append(names, a.singular, a.plural), a.set...)
	}
	s.words = wordsOf(names)
	return s
}

// leaf holds a run of tasks that differ only in their part of one list of values, or a single task if there is no such list.
type leaf struct {
	before int // tasks in the leaves before this one
	layer  *layer
	cut    string   // plural of the attribute whose values are cut, "" for a single task
	values [][]byte // as written
	size   int      // values of each task; the last task may have fewer
}

func (l leaf) tasks() int {
	if l.cut == "" {
		return 1
	}
	return (len(l.values) + l.size - 1) / l.size
}

// level cuts an object that may have the attributes from the depth-th on. inherited has the flags of the levels above, of which the innermost win.
func (s *splitter) level(depth int, here *value, above *layer, inherited flags, path string) *Error {
	if err := checkReserved(here, path); err != nil {
		return err
	}
	if depth == len(s.attributes) {
		return s.single(s.whole(here, above, path))
	}
	if err := checkSpelling(here, s.words, path); err != nil {
		return err
	}
	if err := s.checkFlags(here, path); err != nil {
		return err
	}
	a, own := s.attributes[depth], s.flagsOf(here, path)
	effective := own.over(inherited)
	size, err := s.batchSize(a, effective)
	if err != nil {
		return err
	}
	if !s.needsCutting(depth, here, inherited.over(own)) {
		if depth == 0 {
			return s.single(s.whole(here, above, path))
		}
		return s.single(s.uncut(a, here, above, path))
	}
	name, v := here.given(a.plural, a.singular)
	switch {
	case v == nil:
		return s.single(s.whole(here, above, path))
	case name == a.plural && isGiven(here.get(a.singular)):
		return refuse(join(path, a.singular), "is given beside %s, and both would be cut; want one of them", a.plural)
	}
	if s.cut == "" {
		s.cut = join(path, name)
	}
	rest := newLayer(above, path)
	for i, name := range here.names {
		if name != a.plural && name != a.singular {
			rest.add(name, s.member(&here.children[i]))
		}
	}
	return s.values(depth, v, rest, effective, size, join(path, name))
}

func isGiven(v *value) bool {
	return v != nil && v.kind != kindNull
}

// needsCutting reports whether the attribute at this depth has to be cut: because a flag asks for it, or because something below it has to be cut. If two
// levels have the same flag, the outer one decides.
func (s *splitter) needsCutting(depth int, here *value, effective flags) bool {
	a := s.attributes[depth]
	if effective.ask(a) {
		return true
	}
	if depth+1 == len(s.attributes) {
		return false
	}
	_, v := here.given(a.plural, a.singular)
	for _, object := range objects(v) {
		for i := range object.children {
			below := &object.children[i]
			if below.kind == kindObject && s.needsCutting(depth+1, below, effective.over(s.flagsOf(below, ""))) {
				return true
			}
		}
	}
	return false
}

// objects returns an attribute's values as a list, also if it has a single value.
func objects(v *value) []value {
	switch {
	case v == nil:
		return nil
	case v.kind == kindList:
		return v.children
	default:
		return []value{*v}
	}
}

// values makes leaves from an attribute's values: batches of plain values, and for an object the leaves of each key.
func (s *splitter) values(depth int, v *value, rest *layer, inherited flags, size int, path string) *Error {
	elements := objects(v)
	if !all(elements, isObject) {
		return s.flat(depth, elements, rest, size, path)
	}
	names := 0
	for i := range elements {
		names += len(elements[i].names)
		at := path
		if v.kind == kindList {
			at = index(path, i)
		}
		if err := s.keys(depth, &elements[i], rest, inherited, size, at); err != nil {
			return err
		}
	}
	// A job over no values has no tasks: the producer that computed the list found nothing to do. Inside a branch it is more likely a
	// mistake, as the other branches have values.
	if names == 0 && depth > 0 {
		return refuse(path, "has no values to cut; want one or more, or omit it for a single task without it")
	}
	return nil
}

func (s *splitter) flat(depth int, elements []value, rest *layer, size int, path string) *Error {
	values := make([][]byte, len(elements))
	for i := range elements {
		if !elements[i].flat() {
			return refuse(index(path, i), "is %s; want only text, numbers, true or false, or only objects", s.job.show(&elements[i]))
		}
		values[i] = s.job.raw(&elements[i])
	}
	return s.batches(s.attributes[depth].plural, values, rest, size, path)
}

// keys makes leaves from an object whose keys are the values.
func (s *splitter) keys(depth int, v *value, rest *layer, inherited flags, size int, path string) *Error {
	plural := s.attributes[depth].plural
	if all(v.children, isNull) {
		return s.batches(plural, s.names(v), rest, size, path)
	}
	for i, name := range v.names {
		one := newLayer(rest, rest.path)
		one.add(plural, listOf(plural, s.name(&v.children[i])))
		var err *Error
		switch below := &v.children[i]; below.kind {
		case kindNull:
			err = s.single(one)
		case kindObject:
			err = s.level(depth+1, below, one, inherited, join(path, name))
		default:
			err = refuse(join(path, name), "is %s; want null, or an object with the attributes of this value", s.job.show(below))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// whole returns a level as written.
func (s *splitter) whole(here *value, above *layer, path string) *layer {
	l := newLayer(above, path)
	for i, name := range here.names {
		l.add(name, s.member(&here.children[i]))
	}
	return l
}

// uncut returns a level that is not cut, below one that is. Only its chunkable attribute may change: it may become a list under the plural name.
func (s *splitter) uncut(a attribute, here *value, above *layer, path string) *layer {
	name, v := here.given(a.plural, a.singular)
	var values [][]byte
	switch {
	case v == nil || len(v.children) == 0:
		return s.whole(here, above, path)
	case v.kind == kindList && all(v.children, isFlat):
		for i := range v.children {
			values = append(values, s.job.raw(&v.children[i]))
		}
	case v.kind == kindObject && all(v.children, isNull):
		values = s.names(v)
	case v.kind == kindObject && len(v.children) == 1:
		values = [][]byte{s.job.raw(v)}
	default:
		return s.whole(here, above, path)
	}
	l := newLayer(above, path)
	for i, other := range here.names {
		switch {
		case other == name:
			l.add(a.plural, listOf(a.plural, values...))
		case other != a.plural: // otherwise the plural is null, and the singular replaces it
			l.add(other, s.member(&here.children[i]))
		}
	}
	return l
}

// single adds a leaf of one task.
func (s *splitter) single(l *layer) *Error {
	return s.add(leaf{layer: l}, l.size, "", 0)
}

// batches adds a leaf whose tasks have size values each. For an object without keys in a list of objects it adds none.
func (s *splitter) batches(plural string, values [][]byte, rest *layer, size int, path string) *Error {
	if len(values) == 0 {
		return nil
	}
	widest := 0
	for i := 0; i < len(values); i += size {
		batch := len(listOf(plural))
		for _, v := range values[i:min(i+size, len(values))] {
			batch += len(v) + 1 // a comma, except after the last value
		}
		widest = max(widest, batch-1)
	}
	bytes := rest.size + widest + 1
	if hidden := rest.lookup(plural); hidden > 0 {
		bytes -= hidden + 1
	}
	return s.add(leaf{layer: rest, cut: plural, values: values, size: size}, bytes, path, widest)
}

// add adds a leaf. bytes is the size of its largest payload without the closing brace; values of these are the values at the path.
func (s *splitter) add(l leaf, bytes int, path string, values int) *Error {
	if bytes++; bytes > s.largest {
		if widest, size := l.layer.widest(); size > values {
			path = widest
		}
		s.largest, s.largestPath = bytes, path
	}
	if bytes > MaxPayloadBytes {
		return tooLarge(s.largestPath, bytes, MaxPayloadBytes)
	}
	l.before = s.tasks
	s.tasks += l.tasks()
	s.leaves = append(s.leaves, l)
	return nil
}

func tooLarge(path string, bytes, limit int) *Error {
	return refuse(path, "makes a task's payload %d bytes long; want at most %d: cut it into more tasks, or send the name of a large object instead of its contents", bytes, limit)
}

// member returns an attribute as written, name and value.
func (s *splitter) member(v *value) []byte {
	return s.job.text[v.member:v.to]
}

// name returns the text of a key as written, with its quotes.
func (s *splitter) name(v *value) []byte {
	return s.job.text[v.member : v.from-1]
}

func (s *splitter) names(v *value) [][]byte {
	names := make([][]byte, len(v.children))
	for i := range v.children {
		names[i] = s.name(&v.children[i])
	}
	return names
}

// listOf returns an attribute that is a list of these values.
func listOf(name string, values ...[]byte) []byte {
	return appendList(nil, name, values)
}

func appendList(attribute []byte, name string, values [][]byte) []byte {
	attribute = append(appendText(attribute, name), ":["...)
	for i, v := range values {
		if i > 0 {
			attribute = append(attribute, ',')
		}
		attribute = append(attribute, v...)
	}
	return append(attribute, ']')
}
