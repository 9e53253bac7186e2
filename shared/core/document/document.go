package document

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/drover-run/drover/shared/core/lazyregexp"
)

// The limits of a file. An alias counts with everything that it stands for, so that a small file cannot expand into a large one.
const (
	maxFileBytes = 4 << 20
	maxNodes     = 200_000
	maxDepth     = 64
)

// Node holds a value of a YAML or JSON document, with aliases and merge keys resolved.
type Node struct {
	Kind    Kind
	Line    int    // from 1
	Text    string // of a text; of a number or boolean as written
	Number  float64
	Members []Member // of a mapping, as written
	Items   []*Node  // of a list
}

// Member is a name in a mapping, and its value.
type Member struct {
	Key   string
	Line  int
	Value *Node
}

// Kind says what a value is.
type Kind int

// The kinds of values. Nothing is null, and the value of an empty document.
const (
	Nothing Kind = iota
	Text
	Number
	Boolean
	List
	Mapping
)

// String returns the kind with an article, for messages.
func (k Kind) String() string {
	return [...]string{Nothing: "nothing", Text: "a text", Number: "a number", Boolean: "a boolean", List: "a list", Mapping: "a mapping"}[k]
}

// Parse reads one document: JSON if the text is JSON or the file's extension is .json, and otherwise YAML.
func Parse(file string, data []byte) (*Node, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if len(data) > maxFileBytes {
		return nil, Error{Reason: fmt.Sprintf("the file has %d bytes; want at most %d", len(data), maxFileBytes)}
	}
	if at := firstInvalidUTF8(data); at >= 0 {
		return nil, Error{Line: lineOf(data, int64(at)), Reason: "the text is not UTF-8"}
	}
	// A file that is called .json and begins like JSON is meant to be it, so that its faults are told in the words of JSON.
	meant := strings.HasSuffix(strings.ToLower(file), ".json") && bytes.ContainsAny(bytes.TrimSpace(data)[:min(1, len(bytes.TrimSpace(data)))], `{["`)
	if meant || json.Valid(data) {
		return ParseJSON(data)
	}
	return parseYAML(data)
}

func firstInvalidUTF8(data []byte) int {
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// lineOf returns the line of the byte at the offset.
func lineOf(data []byte, offset int64) int {
	return 1 + bytes.Count(data[:min(max(offset, 0), int64(len(data)))], []byte("\n"))
}

// budget counts the values into which a document expands.
type budget struct{ nodes int }

func (b *budget) spend(line, depth int) error {
	if b.nodes++; b.nodes > maxNodes {
		return Error{Line: line, Reason: fmt.Sprintf("the file expands into more than %d values", maxNodes)}
	}
	if depth > maxDepth {
		return Error{Line: line, Reason: fmt.Sprintf("the file is nested deeper than %d levels", maxDepth)}
	}
	return nil
}

// --- JSON

// ParseJSON reads one JSON document. It exists in addition to the YAML parser because YAML is not quite a superset of JSON: it refuses tabs
// and surrogate pairs ("\ud83d\ude00"), with which Python writes text outside ASCII.
func ParseJSON(data []byte) (*Node, error) {
	if err := checkJSON(data); err != nil {
		return nil, err
	}
	if at := loneSurrogate(data); at >= 0 {
		return nil, Error{Line: lineOf(data, int64(at)), Reason: fmt.Sprintf("%s is half of a surrogate pair, which is not a character", data[at:at+6])}
	}
	p := &jsonParser{decoder: json.NewDecoder(bytes.NewReader(data)), data: data, line: 1}
	p.decoder.UseNumber()
	return p.value(0)
}

func checkJSON(data []byte) error {
	var ignored json.RawMessage
	err := json.Unmarshal(data, &ignored)
	if err == nil {
		return nil
	}
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return Error{Line: lineOf(data, syntax.Offset), Reason: "the text is not JSON: " + syntax.Error()}
	}
	return Error{Reason: "the text is not JSON: " + err.Error()}
}

// loneSurrogate returns the position of an escape for half a surrogate pair, or -1. encoding/json would replace it with another character.
func loneSurrogate(data []byte) int {
	for at := 0; at+1 < len(data); at++ {
		if data[at] != '\\' {
			continue
		}
		if data[at+1] != 'u' {
			at++
			continue
		}
		first := unit(data[at:])
		switch {
		case !utf16.IsSurrogate(first):
			at += 5
		case utf16.DecodeRune(first, unit(data[at+6:])) == utf8.RuneError:
			return at
		default:
			at += 11
		}
	}
	return -1
}

// unit returns the UTF-16 code unit of the escape at the beginning of a text, or 0 if there is none.
func unit(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return 0
	}
	n, _ := strconv.ParseUint(string(text[2:6]), 16, 16)
	return rune(n)
}

type jsonParser struct {
	budget
	decoder *json.Decoder
	data    []byte
	line    int   // of the last token
	counted int64 // bytes whose newlines are counted in line
}

// token returns the next token. It returns no error, because the text is known to be valid.
func (p *jsonParser) token() json.Token {
	token, _ := p.decoder.Token()
	offset := p.decoder.InputOffset()
	p.line += bytes.Count(p.data[p.counted:offset], []byte("\n"))
	p.counted = offset
	return token
}

func (p *jsonParser) value(depth int) (*Node, error) {
	token := p.token()
	if err := p.spend(p.line, depth); err != nil {
		return nil, err
	}
	n := &Node{Line: p.line}
	switch token := token.(type) {
	case string:
		n.Kind, n.Text = Text, token
	case json.Number:
		n.Kind, n.Text = Number, token.String()
		n.Number, _ = strconv.ParseFloat(n.Text, 64) // out of range becomes infinite, which decimal refuses
	case bool:
		n.Kind, n.Text = Boolean, strconv.FormatBool(token)
	case json.Delim:
		if token == '[' {
			return n, p.list(n, depth)
		}
		return n, p.mapping(n, depth)
	}
	return n, nil
}

func (p *jsonParser) list(n *Node, depth int) error {
	n.Kind = List
	for p.decoder.More() {
		item, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.Items = append(n.Items, item)
	}
	p.token()
	return nil
}

func (p *jsonParser) mapping(n *Node, depth int) error {
	n.Kind = Mapping
	for p.decoder.More() {
		key, _ := p.token().(string)
		line := p.line
		value, err := p.value(depth + 1)
		if err != nil {
			return err
		}
		n.Members = append(n.Members, Member{key, line, value})
	}
	p.token()
	return nil
}

// --- YAML

func parseYAML(data []byte) (*Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var document yaml.Node
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return &Node{Kind: Nothing, Line: 1}, nil
	case err != nil:
		return nil, yamlError(err, data)
	}

	root, err := (&yamlParser{}).value(&document, 0)
	if err != nil {
		return nil, err
	}
	return root, lastDocument(decoder, data)
}

// lastDocument refuses a second document. If two documents named the same labourer, it would be unclear which one counts.
func lastDocument(decoder *yaml.Decoder, data []byte) error {
	for {
		var document yaml.Node
		switch err := decoder.Decode(&document); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return yamlError(err, data)
		case !empty(&document):
			return Error{Line: document.Content[0].Line, Reason: "a second document begins here; want one document in a file"}
		}
	}
}

func empty(document *yaml.Node) bool {
	return len(document.Content) == 0 || document.Content[0].ShortTag() == "!!null"
}

var yamlMessage = lazyregexp.New(`^yaml: (?:line (\d+): )?(.*)$`)

func yamlError(err error, data []byte) error {
	parts := yamlMessage.FindStringSubmatch(err.Error())
	if parts == nil {
		return Error{Reason: "the text is not YAML: " + err.Error()}
	}
	line, _ := strconv.Atoi(parts[1])
	if at, indents := tab(data, line); at > 0 && indents {
		return Error{Line: at, Reason: "the text is not YAML: a tab indents this line; want only spaces there"}
	} else if at > 0 {
		return Error{Line: at, Reason: "the text is not YAML: " + parts[2] + "; the line has a tab, where YAML may require spaces"}
	}
	return Error{Line: line, Reason: "the text is not YAML: " + parts[2]}
}

// tab returns the line of the tab that causes an error in a line, or 0 if there is none, and whether the tab is in the line's indentation. The parser does
// not mention tabs, gives no line number for the first line, and sometimes gives the line before.
func tab(data []byte, line int) (at int, indents bool) {
	lines := bytes.Split(data, []byte("\n"))
	line = max(line, 1)
	for n := line; n <= min(line+1, len(lines)); n++ {
		indentation := lines[n-1][:len(lines[n-1])-len(bytes.TrimLeft(lines[n-1], " \t"))]
		if bytes.ContainsRune(indentation, '\t') {
			return n, true
		}
	}
	if line <= len(lines) && bytes.ContainsRune(lines[line-1], '\t') {
		return line, false
	}
	return 0, false
}

type yamlParser struct{ budget }

func (p *yamlParser) value(y *yaml.Node, depth int) (*Node, error) {
	if err := p.spend(y.Line, depth); err != nil {
		return nil, err
	}
	switch y.Kind {
	case yaml.DocumentNode:
		return p.value(y.Content[0], depth+1)
	case yaml.AliasNode:
		return p.value(y.Alias, depth+1)
	case yaml.SequenceNode:
		return p.list(y, depth)
	case yaml.MappingNode:
		return p.mapping(y, depth)
	}
	return scalar(y)
}

// scalar reads a text, number or boolean. It refuses scalars that YAML 1.1 and 1.2 read differently: this parser follows one version for some of them and
// the other version for the rest, and most users know neither.
func scalar(y *yaml.Node) (*Node, error) {
	if other := ambiguity(y); other != "" {
		return nil, Error{Line: y.Line, Column: y.Column, Reason: fmt.Sprintf(
			"%s is %s for some YAML parsers but not for others; quote it, or write its value", ShownBare(y.Value), other)}
	}
	n := &Node{Line: y.Line, Text: y.Value}
	switch tag := y.ShortTag(); tag {
	case "!!null":
		n.Kind = Nothing
	case "!!bool":
		n.Kind = Boolean
	case "!!int", "!!float":
		n.Kind = Number
		if err := y.Decode(&n.Number); err != nil {
			n.Number = math.NaN()
		}
	case "!!str", "!!timestamp", "!!merge":
		n.Kind = Text
	default:
		return nil, Error{Line: y.Line, Reason: fmt.Sprintf("the tag %s is unknown", Shown(tag))}
	}
	return n, nil
}

// ambiguity returns the meaning that a plain scalar has in only one version of YAML, or "" if both agree. It ignores y and n, which hardly any parser
// treats as booleans.
// https://yaml.org/type/ and https://yaml.org/spec/1.2.2/#103-core-schema
func ambiguity(y *yaml.Node) string {
	if y.Style != 0 && y.Style != yaml.FlowStyle {
		return "" // quoted, in a block, or tagged
	}
	for _, form := range ambiguous {
		if form.like.MatchString(y.Value) {
			return form.is
		}
	}
	return ""
}

var ambiguous = []struct {
	like *lazyregexp.Regexp
	is   string
}{
	{lazyregexp.New(`^(yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$`), "true or false"},
	{lazyregexp.New(`^[-+]?0[0-7_]+$`), "a number in octal"},
	{lazyregexp.New(`^[-+]?0[0-9_]+$`), "a number"},
	{lazyregexp.New(`^[-+]?0o[0-7_]+$`), "a number in octal"},
	{lazyregexp.New(`^[-+]?0b[01_]+$`), "a number in binary"},
	{lazyregexp.New(`^[-+]?0[0-9_]+\.[0-9_]*$`), "a number"},
	{lazyregexp.New(`^[-+]?0x[0-9a-fA-F]*_[0-9a-fA-F_]*$`), "a number"},
	{lazyregexp.New(`^[-+]0x[0-9a-fA-F]+$`), "a number in hexadecimal"},
	{lazyregexp.New(`^[-+]?[0-9][0-9_]*_[0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?$`), "a number"},
	{lazyregexp.New(`^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$`), "a number of base 60"},
	{lazyregexp.New(`^[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?$`), "a date"},
}

func (p *yamlParser) list(y *yaml.Node, depth int) (*Node, error) {
	n := &Node{Kind: List, Line: y.Line}
	for _, content := range y.Content {
		item, err := p.value(content, depth+1)
		if err != nil {
			return nil, err
		}
		n.Items = append(n.Items, item)
	}
	return n, nil
}

// mapping reads the members. Members of a merge key ("<<") come last, unless the mapping has a member with the same name.
func (p *yamlParser) mapping(y *yaml.Node, depth int) (*Node, error) {
	n := &Node{Kind: Mapping, Line: y.Line}
	var merged []*Node
	for i := 0; i+1 < len(y.Content); i += 2 {
		key, content := y.Content[i], y.Content[i+1]
		value, err := p.value(content, depth+1)
		if err != nil {
			return nil, err
		}
		if key.ShortTag() == "!!merge" {
			merged = append(merged, value)
			continue
		}
		name, err := p.value(key, depth+1)
		if err != nil {
			return nil, err
		}
		if name.Kind != Text && (name.Kind != Number || !plainNumber.MatchString(name.Text)) {
			return nil, Error{Line: key.Line, Reason: fmt.Sprintf("%s cannot be a name", name.Describe())}
		}
		n.Members = append(n.Members, Member{name.Text, key.Line, value})
	}

	if len(merged) == 0 {
		return n, nil
	}
	has := make(map[string]bool, len(n.Members))
	for _, m := range n.Members {
		has[m.Key] = true
	}
	for _, from := range merged {
		if err := n.merge(from, has); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// plainNumber matches numbers that every parser turns into the same name.
var plainNumber = lazyregexp.New(`^(0|[1-9][0-9]*)$`)

// merge adds the members of a mapping, or of each mapping in a list, that n does not have. It keeps names that n itself has twice: a later check refuses
// them.
func (n *Node) merge(from *Node, has map[string]bool) error {
	switch from.Kind {
	case List:
		for _, item := range from.Items {
			if item.Kind != Mapping {
				return Error{Line: item.Line, Reason: fmt.Sprintf("<< takes a mapping or a list of them, not a list with %s", item.Kind)}
			}
			if err := n.merge(item, has); err != nil {
				return err
			}
		}
	case Mapping:
		for _, m := range from.Members {
			if !has[m.Key] {
				has[m.Key] = true
				n.Members = append(n.Members, m)
			}
		}
	default:
		return Error{Line: from.Line, Reason: fmt.Sprintf("<< takes a mapping or a list of them, not %s", from.Kind)}
	}
	return nil
}
