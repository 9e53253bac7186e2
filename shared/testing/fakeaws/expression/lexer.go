package expression

import (
	"strings"
)

// token is a piece of an expression: a word, a placeholder, a number, an operator or a bracket. The token after the last is "".
type token string

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isPart(c byte) bool   { return isLetter(c) || isDigit(c) || c == '_' }

// behind returns the index after the run of bytes from i on that satisfy such.
func behind(text string, i int, such func(byte) bool) int {
	for i < len(text) && such(text[i]) {
		i++
	}
	return i
}

func isWord(text string) bool {
	for i := range len(text) {
		if !isPart(text[i]) {
			return false
		}
	}
	return text != ""
}

// mostBytes holds the largest expression, in bytes.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html
const mostBytes = 4096

func tokens(text string) ([]token, error) {
	if strings.TrimSpace(text) == "" {
		return nil, refuse("The expression can not be empty;") // english: quoted
	}
	if len(text) > mostBytes {
		return nil, refuse("Expression size has exceeded the maximum allowed size; expression size: %d", len(text))
	}
	var out []token
	for i := 0; i < len(text); {
		c, from := text[i], i
		switch {
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			i++
			continue
		case c == '#' || c == ':' || isLetter(c):
			i = behind(text, i+1, isPart)
			if i == from+1 && !isLetter(c) {
				return nil, syntax(token(text[from:i]))
			}
		case isDigit(c):
			i = behind(text, i+1, isDigit)
		case strings.HasPrefix(text[i:], "<=") || strings.HasPrefix(text[i:], ">=") || strings.HasPrefix(text[i:], "<>"):
			i += 2
		case strings.IndexByte("=<>(),.[]+-", c) >= 0:
			i++
		default:
			return nil, syntax(token(text[i : i+1]))
		}
		out = append(out, token(text[from:i]))
	}
	return out, nil
}

func syntax(at token) error {
	if at == "" {
		at = "<EOF>"
	}
	return refuse("Syntax error; token: %q", string(at))
}

// parser reads the tokens of an expression one by one.
type parser struct {
	rest  []token
	depth int
}

func parse(text string) (*parser, error) {
	all, err := tokens(text)
	return &parser{rest: all}, err
}

func (p *parser) peek() token {
	if len(p.rest) == 0 {
		return ""
	}
	return p.rest[0]
}

func (p *parser) next() token {
	t := p.peek()
	if t != "" {
		p.rest = p.rest[1:]
	}
	return t
}

// accept consumes the next token if it is the wanted one, in upper or lower case.
func (p *parser) accept(want string) bool {
	if strings.EqualFold(string(p.peek()), want) {
		p.next()
		return true
	}
	return false
}

func (p *parser) expect(want string) error {
	if !p.accept(want) {
		return syntax(p.peek())
	}
	return nil
}

func (p *parser) end() error {
	if p.peek() != "" {
		return syntax(p.peek())
	}
	return nil
}

// mostDepth says how deep parentheses may be nested.
const mostDepth = 100

func (p *parser) deeper() error {
	if p.depth++; p.depth > mostDepth {
		return refuse("Expression is nested too deeply: more than %d levels", mostDepth)
	}
	return nil
}
