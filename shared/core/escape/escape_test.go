package escape_test

import (
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/escape"
)

// sendable reports whether SQS accepts a character.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func sendable(r rune) bool {
	return r == 0x9 || r == 0xA || r == 0xD || 0x20 <= r && r <= 0xD7FF || 0xE000 <= r && r <= 0xFFFD || 0x10000 <= r && r <= 0x10FFFF
}

func TestNoncharactersAreEscapedAndTheRestStays(t *testing.T) {
	for given, want := range map[string]string{
		`{"a":"plain"}`:                       `{"a":"plain"}`,
		"{\"a\":\"x\uFFFFy\uFFFE\"}":          `{"a":"x\uffffy\ufffe"}`,
		"{\"\uFFFF\":1}":                      `{"\uffff":1}`,
		`"\uffff \\uffff"`:                    `"\uffff \\uffff"`,
		"\"\uFFFD \uFFFC \U0001FFFF \u007F\"": "\"\uFFFD \uFFFC \U0001FFFF \u007F\"",
	} {
		require.Equal(t, want, string(escape.JSON([]byte(given))))
	}
}

func TestEscapedTextMeansTheSameAndPassesThroughAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		runes := rapid.SliceOf(rapid.OneOf(rapid.SampledFrom([]rune{0, '\n', 0x1F, '"', '\\', 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF, 0x1FFFE, 0x10FFFF}), rapid.Rune())).Draw(t, "runes")
		value := string(runes)
		text, err := json.Marshal(map[string]string{value: value})
		require.NoError(t, err)
		before := string(text)

		escaped := escape.JSON(text)

		require.Equal(t, before, string(text), "the argument is unchanged")
		for _, r := range string(escaped) {
			require.True(t, sendable(r), "%U", r)
		}
		require.True(t, utf8.Valid(escaped))
		var got map[string]string
		require.NoError(t, json.Unmarshal(escaped, &got))
		require.Equal(t, map[string]string{value: value}, got)
	})
}
