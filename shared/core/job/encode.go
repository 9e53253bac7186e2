package job

// encoder writes values as compact JSON and records the position of each, so that a part of a job is encoded once and then only copied. Positions fit in
// 32 bits, see MaxJobBytes.
type encoder struct {
	data []byte
}

func (e *encoder) value(v *value) {
	v.from = int32(len(e.data))
	switch v.kind {
	case kindNull:
		e.data = append(e.data, "null"...)
	case kindText:
		e.data = appendText(e.data, v.text)
	case kindList:
		e.data = append(e.data, '[')
		for i := range v.children {
			if i > 0 {
				e.data = append(e.data, ',')
			}
			e.value(&v.children[i])
		}
		e.data = append(e.data, ']')
	case kindObject:
		e.data = append(e.data, '{')
		for i := range v.children {
			if i > 0 {
				e.data = append(e.data, ',')
			}
			v.children[i].member = int32(len(e.data))
			e.data = append(appendText(e.data, v.names[i]), ':')
			e.value(&v.children[i])
		}
		e.data = append(e.data, '}')
	default:
		e.data = append(e.data, v.text...)
	}
	v.to = int32(len(e.data))
}

// appendText appends a JSON string. It escapes only the characters for which JSON requires it: "<" and "é" stay unchanged, and no text becomes longer than
// its shortest encoding.
func appendText(data []byte, content string) []byte {
	const digits = "0123456789abcdef"
	data = append(data, '"')
	for i := range len(content) {
		switch letter := content[i]; letter {
		case '"', '\\':
			data = append(data, '\\', letter)
		case '\b':
			data = append(data, `\b`...)
		case '\f':
			data = append(data, `\f`...)
		case '\n':
			data = append(data, `\n`...)
		case '\r':
			data = append(data, `\r`...)
		case '\t':
			data = append(data, `\t`...)
		default:
			if letter < ' ' {
				data = append(data, '\\', 'u', '0', '0', digits[letter>>4], digits[letter&15])
				continue
			}
			data = append(data, letter)
		}
	}
	return append(data, '"')
}
