// Package escape restricts JSON text to the characters that every transport accepts.
package escape

import "bytes"

// U+FFFE and U+FFFF in UTF-8. JSON may contain them unescaped. SQS refuses messages that contain them, because XML has no such characters.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
var (
	notACharacter = []byte("\uFFFE")
	lastOfPlane   = []byte("\uFFFF")
)

// JSON returns JSON text with the same meaning, in which U+FFFE and U+FFFF are escaped. The other characters that SQS refuses are control characters and
// halves of surrogate pairs, which JSON always escapes. JSON never changes its argument.
func JSON(text []byte) []byte {
	if !bytes.Contains(text, notACharacter[:2]) { // both characters begin with the same two bytes
		return text
	}
	text = bytes.ReplaceAll(text, notACharacter, []byte(`\ufffe`))
	return bytes.ReplaceAll(text, lastOfPlane, []byte(`\uffff`))
}
