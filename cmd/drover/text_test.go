package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/stretchr/testify/require"
)

// utf16Text returns a text as UTF-16 in the given byte order, after the mark or without one.
func utf16Text(text string, order binary.AppendByteOrder, mark bool) string {
	var out []byte
	if mark {
		out = order.AppendUint16(out, 0xfeff)
	}
	for _, unit := range utf16.Encode([]rune(text)) {
		out = order.AppendUint16(out, unit)
	}
	return string(out)
}

func utf32Text(text string, order binary.AppendByteOrder, mark bool) string {
	var out []byte
	if mark {
		out = order.AppendUint32(out, 0xfeff)
	}
	for _, r := range text {
		out = order.AppendUint32(out, uint32(r))
	}
	return string(out)
}

const (
	soswText = `{"labourers": {"shop": {"arn": "arn:aws:lambda:us-east-1:000000000000:function:shop"}}, "job_schema": {"chunkable_attrs": [["section", {}]]}}`
	jobText  = `{"labourer": "shop", "sections": ["a", "b"], "isolate_sections": true}`
)

// eachReader runs each command that reads a file: from a file and from standard input, with labourers, a configuration of sosw, or a job.
func eachReader(t *testing.T, spoil func(text string) string, look func(t *testing.T, s said)) {
	t.Helper()
	good := file(t, "good.yaml", shop)
	for name, c := range map[string]struct {
		text string
		line []string // FILE stands for the file
	}{
		"validate":      {shop, []string{"validate", "-f", "FILE"}},
		"validate sosw": {soswText, []string{"validate", "-f", "FILE"}},
		"assess":        {shop, []string{"assess", "-f", "FILE", "shop"}},
		"plan -f":       {shop, []string{"plan", "-f", "FILE", file(t, "job.json", jobText)}},
		"plan":          {jobText, []string{"plan", "-f", good, "FILE"}},
		"diff":          {shop, []string{"diff", "-f", "FILE"}},
		"apply":         {shop, []string{"apply", "-f", "FILE"}},
		"submit":        {jobText, []string{"submit", "FILE"}},
	} {
		for _, from := range []string{"file", "standard input"} {
			t.Run(fmt.Sprintf("%s from %s", name, from), func(t *testing.T) {
				g := newGround(t)
				line := append([]string(nil), c.line...)
				for i, word := range line {
					switch {
					case word != "FILE":
					case from == "file":
						line[i] = file(t, map[bool]string{true: "job.json", false: "labourers.yaml"}[c.text == jobText], spoil(c.text))
					default:
						line[i] = "-"
						line = append(line, "<", spoil(c.text))
					}
				}
				look(t, g.drover(line...))
			})
		}
	}
}

func TestAByteOrderMarkAndTheLineEndsOfWindowsChangeNothing(t *testing.T) {
	for _, spoil := range []func(string) string{
		func(text string) string { return "\ufeff" + text },
		func(text string) string { return "\ufeff\ufeff" + text },
		func(text string) string { return strings.ReplaceAll(text, "\n", "\r\n") + "\r\n" },
		func(text string) string { return "\ufeff" + strings.ReplaceAll(text, "\n", "\r\n") + "\r\n" },
	} {
		eachReader(t, spoil, func(t *testing.T, s said) { s.t = t; s.ok() })
	}
}

func TestWideTextsAreRefusedByTheNameOfTheirEncoding(t *testing.T) {
	for name, spoil := range map[string]func(string) string{
		"UTF-16 (little-endian)": func(text string) string { return utf16Text(text, binary.LittleEndian, true) },
		"UTF-16 (big-endian)":    func(text string) string { return utf16Text(text, binary.BigEndian, true) },
		"UTF-32 (little-endian)": func(text string) string { return utf32Text(text, binary.LittleEndian, true) },
		"UTF-32 (big-endian)":    func(text string) string { return utf32Text(text, binary.BigEndian, true) },
	} {
		eachReader(t, spoil, func(t *testing.T, s said) { s.t = t; s.fails(misuse, name, "save it as UTF-8") })
	}
	eachReader(t, func(text string) string { return utf16Text(strings.TrimSpace(text), binary.LittleEndian, false) },
		func(t *testing.T, s said) { s.t = t; s.fails(misuse, "UTF-16 (little-endian)") })
	eachReader(t, func(text string) string { return utf16Text(strings.TrimSpace(text), binary.BigEndian, false) },
		func(t *testing.T, s said) { s.t = t; s.fails(misuse, "UTF-16 (big-endian)") })
}

func TestShortTextsAreNotMistakenForWideOnes(t *testing.T) {
	for _, text := range []string{"", "1", "{}", "[]", "\n", "ab", "grün"} {
		plain, err := plainText([]byte(text))
		require.NoError(t, err, "%q", text)
		require.Equal(t, text, string(plain))
	}
}

func TestAFileThatCannotBeReadIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "from-excel.json")
	require.NoError(t, os.WriteFile(path, []byte(utf16Text(jobText, binary.LittleEndian, true)), 0o600))
	pure(t, "plan", path).fails(misuse, path)
	pure(t, "plan", "-", "<", utf16Text(jobText, binary.LittleEndian, true)).fails(misuse, "standard input")
}
