package endtoend

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// patience limits a wait that takes a second on an idle machine. Test machines are slow and busy with other tests.
	patience = 4 * time.Minute
	// glance separates two reads of a waiting test.
	glance = 50 * time.Millisecond
)

// await calls look until it reports true, and returns its result. On a timeout it fails with the last result.
func await[T any](t *testing.T, what string, look func() (seen T, there bool)) T {
	t.Helper()
	for until := time.Now().Add(patience); ; {
		seen, there := look()
		if there {
			return seen
		}
		if time.Now().After(until) {
			require.FailNow(t, fmt.Sprintf("waited %s in vain for %s", patience, what), "last seen: %s", shown(seen))
		}
		select {
		case <-t.Context().Done():
			require.FailNow(t, "the test ended while waiting for "+what)
		case <-time.After(glance):
		}
	}
}

func shown(seen any) string {
	if text, is := seen.(string); is {
		return text
	}
	text, err := json.MarshalIndent(seen, "", "  ")
	if err != nil {
		return fmt.Sprintf("%+v", seen)
	}
	return string(text)
}
