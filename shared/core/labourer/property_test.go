package labourer_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/drover-run/drover/shared/core/labourer"
)

// some returns a generator of mappings in which each field may be absent.
func some(fields map[string]*rapid.Generator[any]) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		drawn := map[string]any{}
		for _, name := range sortedKeys(fields) {
			if rapid.Bool().Draw(t, "has "+name) {
				drawn[name] = fields[name].Draw(t, name)
			}
		}
		return drawn
	})
}

func sortedKeys(fields map[string]*rapid.Generator[any]) []string {
	var names []string
	for _, name := range []string{
		"max_simultaneous_invocations", "max_attempts", "max_duration", "cooldown", "retry", "heartbeat", "not_retryable", "group_key",
		"health_metrics", "coefficients", "initial", "rate", "Period", "Statistics", "Dimensions", "Unit",
	} {
		if fields[name] != nil {
			names = append(names, name)
		}
	}
	return names
}

var (
	words     = rapid.StringMatching(`[A-Za-zäß😀 "\\#:{}<>&-]{0,10}[A-Za-z]`).AsAny()
	durations = rapid.OneOf(rapid.IntRange(1, 86400).AsAny(), rapid.SampledFrom([]string{"1s", "90s", "15m", "1h30m", "250ms", "1h0m1s", "36h"}).AsAny())
	statuses  = rapid.MapOf(rapid.SampledFrom([]string{"0", "1", "2", "3", "4"}), rapid.Float64Range(0, 1e6))
)

// definitions draws labourers in the form in which people write them.
func definitions() *rapid.Generator[map[string]any] {
	metric := rapid.Custom(func(t *rapid.T) any {
		details := some(map[string]*rapid.Generator[any]{
			"Period":     rapid.SampledFrom([]int{1, 10, 60, 300, 86400}).AsAny(),
			"Statistics": rapid.SampledFrom([][]string{{"Average"}, {"p99.9"}, {"TM(2%:98%)"}}).AsAny(),
			"Dimensions": rapid.Just([]map[string]string{{"Name": "B", "Value": "ü"}, {"Name": "A", "Value": "x"}}).AsAny(),
			"Unit":       rapid.SampledFrom([]string{"Percent", "Count/Second"}).AsAny(),
		}).Draw(t, "details").(map[string]any)
		details["MetricName"], details["Namespace"] = words.Draw(t, "name"), "N"
		return map[string]any{
			"details":                     details,
			"feelings":                    map[string]any{"4": rapid.Float64Range(-100, 0).Draw(t, "high"), "2": rapid.Float64Range(0, 100).Draw(t, "moderate")},
			"feeling_comparison_operator": rapid.SampledFrom([]string{"<=", "<", "le", "__lt__"}).Draw(t, "operator"),
			"missing":                     rapid.SampledFrom([]string{"ignore", "bad", "last"}).Draw(t, "missing"),
			"settle":                      durations.Draw(t, "settle"),
		}
	})
	fields := some(map[string]*rapid.Generator[any]{
		"max_simultaneous_invocations": rapid.Float64Range(0, labourer.MaxCap).AsAny(),
		"max_attempts":                 rapid.IntRange(1, labourer.MaxMaxAttempts).AsAny(),
		"max_duration":                 durations,
		"cooldown":                     durations,
		"retry":                        some(map[string]*rapid.Generator[any]{"initial": durations, "rate": rapid.Float64Range(1, 1000).AsAny()}),
		"heartbeat":                    durations,
		"not_retryable":                rapid.SliceOf(words).AsAny(),
		"group_key":                    words,
		"health_metrics":               rapid.MapOfN(rapid.StringMatching(`[a-z. ]{0,5}[a-z]`), metric, 0, 3).AsAny(),
		"coefficients":                 statuses.AsAny(),
	})
	return rapid.Custom(func(t *rapid.T) map[string]any {
		definition := fields.Draw(t, "labourer").(map[string]any)
		definition["target"] = map[string]any{"sqs": "https://sqs.eu-west-1.amazonaws.com/000000000000/q"}
		return definition
	})
}

func TestAnyLabourerIsTheSameFromYAMLJSONAndItsStoredForm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		definition := definitions().Draw(t, "definition")
		file := map[string]any{"labourers": map[string]any{"w": definition}}
		asJSON, err := json.Marshal(file)
		require.NoError(t, err)
		asYAML, err := yaml.Marshal(file)
		require.NoError(t, err)

		l := read(t, string(asJSON)).Labourers["w"]
		require.Equal(t, l, read(t, string(asYAML)).Labourers["w"])

		decoded, err := labourer.Decode("w", l.Stored())
		require.NoError(t, err)
		require.Equal(t, l, decoded)
		require.Equal(t, string(l.Stored()), string(decoded.Stored()))
		require.Empty(t, decoded.Diff(l))

		// Read accepts the stored form.
		require.Equal(t, l, read(t, fmt.Sprintf(`{"labourers": {"w": %s}}`, l.Stored())).Labourers["w"])
	})
}

func TestDifferentStoredFormsHaveDifferences(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var two [2]labourer.Labourer
		for i := range two {
			text, err := json.Marshal(map[string]any{"labourers": map[string]any{"w": definitions().Draw(t, fmt.Sprint("definition ", i))}})
			require.NoError(t, err)
			two[i] = read(t, string(text)).Labourers["w"]
		}
		same := string(two[0].Stored()) == string(two[1].Stored())
		require.Equal(t, same, len(two[1].Diff(two[0])) == 0)
		require.Len(t, two[0].Diff(two[1]), len(two[1].Diff(two[0])))
	})
}
