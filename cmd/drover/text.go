package main

import (
	"bytes"
	"fmt"
	"strings"
)

// mark holds the byte order mark in UTF-8. Some editors and shells put it before a text, where it means nothing.
var mark = []byte("\ufeff")

// plainText returns a text without its byte order mark. It returns an error for a text in UTF-16 or UTF-32, about which the parser's message would
// mislead. It leaves other faults to the parser, which can name their place.
func plainText(data []byte) ([]byte, error) {
	if name := wideEncoding(data); name != "" {
		return nil, fmt.Errorf("the text is %s; save it as UTF-8", name)
	}
	for bytes.HasPrefix(data, mark) { // some tools add a second mark
		data = data[len(mark):]
	}
	return data, nil
}

// wideEncoding returns the encoding of a text whose letters have two or four bytes, and "" for other texts. It decides by the mark, or by the
// positions of zeros in the first letters: no text that Drover reads begins with a letter outside ASCII.
func wideEncoding(data []byte) string {
	begins := func(prefix string) bool { return bytes.HasPrefix(data, []byte(prefix)) }
	var zeros strings.Builder
	for _, b := range data[:min(len(data), 4)] {
		if b == 0 {
			zeros.WriteString("0")
		} else {
			zeros.WriteString("x")
		}
	}
	switch {
	case begins("\xff\xfe\x00\x00") || zeros.String() == "x000":
		return "UTF-32 (little-endian)"
	case begins("\x00\x00\xfe\xff") || zeros.String() == "000x":
		return "UTF-32 (big-endian)"
	case begins("\xff\xfe") || zeros.String() == "x0" || zeros.String() == "x0x0":
		return "UTF-16 (little-endian)"
	case begins("\xfe\xff") || zeros.String() == "0x" || zeros.String() == "0x0x":
		return "UTF-16 (big-endian)"
	}
	return ""
}
