package labourer_test

import (
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
)

var now = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// readings returns readings of these values with the current time.
func readings(values map[string]float64) map[string]ecology.Reading {
	r := map[string]ecology.Reading{}
	for name, v := range values {
		r[name] = ecology.Reading{Value: &v, At: now}
	}
	return r
}

func TestAssessmentsEqualSosws(t *testing.T) {
	text, err := os.ReadFile("testdata/sosw.json")
	require.NoError(t, err)
	var cases []struct {
		ID       int
		Name     string
		Labourer json.RawMessage
		Metrics  map[string]float64
		Running  int
		Status   ecology.Status
		Free     *int
	}
	require.NoError(t, json.Unmarshal(text, &cases))
	require.Len(t, cases, 30)

	for _, c := range cases {
		t.Run(fmt.Sprintf("%d %s", c.ID, c.Name), func(t *testing.T) {
			file := fmt.Sprintf(`{"labourers": {"w": %s}}`, c.Labourer)
			configuration, warnings, errs := labourer.Read("case.json", []byte(file), labourer.TargetOptional())
			require.NoError(t, errs.Err())
			require.Empty(t, warnings)

			a := ecology.Assess(configuration.Labourers["w"].Subject(), readings(c.Metrics), nil, now, c.Running)
			require.Equal(t, c.Status, a.Status, a.Reason)
			if c.Free != nil {
				require.Equal(t, *c.Free, a.Free)
			}

			again, err := labourer.Decode("w", configuration.Labourers["w"].Stored())
			require.NoError(t, err)
			require.Equal(t, configuration.Labourers["w"], again, "the stored form means the same")
		})
	}
}
