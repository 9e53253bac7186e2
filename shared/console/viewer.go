package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"html/template"
	"strings"
	"unicode"
	"unicode/utf8"
)

// viewer is JSON text for people. Its numbers have the digits that were sent, and nothing in it is markup.
type viewer struct {
	Name  string
	HTML  template.HTML // "": there is none
	Bytes int           // of the whole text
	Cut   bool          // it is longer than what is shown
}

// longestShown says how many bytes of an indented text are shown. The document below /api has all.
const longestShown = 64 << 10

func viewerOf(name string, text json.RawMessage) viewer {
	if len(raw(text)) == 0 {
		return viewer{Name: name}
	}
	v := viewer{Name: name, Bytes: len(text)}
	var indented bytes.Buffer
	if json.Indent(&indented, text, "", "  ") != nil {
		indented.Reset()
		indented.Write(text)
	}
	shown := indented.String()
	if len(shown) > longestShown {
		shown, v.Cut = shown[:longestShown], true
		for !utf8.ValidString(shown[len(shown)-1:]) && len(shown) > longestShown-utf8.UTFMax {
			shown = shown[:len(shown)-1]
		}
	}
	v.HTML = coloured(shown)
	return v
}

// coloured returns JSON text with its parts in spans. It takes any text: what is no JSON is shown as it is.
func coloured(text string) template.HTML {
	var out strings.Builder
	span := func(class, text string) {
		fmt.Fprintf(&out, `<span class="%s">%s</span>`, class, html.EscapeString(visible(text)))
	}
	for len(text) > 0 {
		var n int
		switch c := text[0]; {
		case c == '"':
			n = quotedLength(text)
			class := "string"
			if strings.HasPrefix(text[n:], ":") {
				class = "key"
			}
			span(class, text[:n])
		case c == '-' || c >= '0' && c <= '9':
			n = len(text) - len(strings.TrimLeft(text, "+-.0123456789eE"))
			span("number", text[:n])
		case c >= 'a' && c <= 'z':
			n = len(text) - len(strings.TrimLeft(text, "abcdefghijklmnopqrstuvwxyz"))
			span("word", text[:n])
		default:
			_, n = utf8.DecodeRuneInString(text)
			out.WriteString(html.EscapeString(visible(text[:n])))
		}
		text = text[n:]
	}
	return template.HTML(out.String()) //nolint:gosec // every piece is escaped
}

// quotedLength returns the length of the string that a text begins with, or of the whole text if it does not end.
func quotedLength(text string) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(text)
}

// visible returns a text in which letters that cannot be seen, or that change how other letters are shown, are written as JSON escapes.
func visible(text string) string {
	var out strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == ' ':
			out.WriteRune(r)
		case r == utf8.RuneError || unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co):
			if r > 0xffff {
				fmt.Fprintf(&out, `\U%08x`, r)
			} else {
				fmt.Fprintf(&out, `\u%04x`, r)
			}
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}
