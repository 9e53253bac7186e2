// Package escape keeps JSON text within the characters that every medium on its way takes.
package escape

import "bytes"

// UTF-8 of U+FFFE and U+FFFF. JSON may have them as they are. SQS refuses a message with them, as XML has no such characters.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
var (
	notACharacter = []byte("\uFFFE")
	lastOfPlane   = []byte("\uFFFF")
)

// JSON returns JSON text that means the same and has U+FFFE and U+FFFF escaped. The other characters that SQS refuses are control
// characters and halves of surrogate pairs; JSON has these escaped already. JSON never changes its argument.
func JSON(text []byte) []byte {
	if !bytes.Contains(text, notACharacter[:2]) { // both begin with the same two bytes
		return text
	}
	text = bytes.ReplaceAll(text, notACharacter, []byte(`\ufffe`))
	return bytes.ReplaceAll(text, lastOfPlane, []byte(`\uffff`))
}
