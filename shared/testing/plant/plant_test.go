package plant_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/testing/plant"
)

var (
	seeds  = flag.Uint64("seeds", 10, "plants that each law is tried on")
	update = flag.Bool("update", false, "write the table and the plots of docs/adaptive.md")
)

func phases(p ...plant.Phase) []plant.Phase {
	return append([]plant.Phase{{Lasts: 90 * time.Minute, Capacity: 1, Demand: 3}}, p...)
}

var scenarios = []plant.Scenario{
	{Name: "steady", Phases: phases(plant.Phase{Lasts: 3 * time.Hour, Capacity: 1, Demand: 3})},
	{Name: "load step", Phases: phases(plant.Phase{Lasts: time.Hour, Capacity: 1, Demand: 0.3}, plant.Phase{Lasts: 2 * time.Hour, Capacity: 1, Demand: 3})},
	{Name: "capacity halved and back", Phases: phases(plant.Phase{Lasts: 45 * time.Minute, Capacity: 0.5, Demand: 3}, plant.Phase{Lasts: 2 * time.Hour, Capacity: 1, Demand: 3})},
	{Name: "foreign spike", Phases: phases(plant.Phase{Lasts: 20 * time.Minute, Capacity: 1, Foreign: 15, Demand: 3}, plant.Phase{Lasts: 130 * time.Minute, Capacity: 1, Demand: 3})},
	{Name: "blackout", Phases: phases(plant.Phase{Lasts: 20 * time.Minute, Capacity: 1, Demand: 3, Blind: true}, plant.Phase{Lasts: 130 * time.Minute, Capacity: 1, Demand: 3})},
	{Name: "two labourers", Shared: true, Phases: phases(plant.Phase{Lasts: 150 * time.Minute, Capacity: 1, Demand: 3})},
	{Name: "daily wave", Phases: phases(wave()...)},
}

// wave is a day's load of others in four hours.
func wave() (out []plant.Phase) {
	for _, foreign := range []float64{0, 4, 8, 12, 15, 15, 12, 8, 4, 0, 0, 0} {
		out = append(out, plant.Phase{Lasts: 20 * time.Minute, Capacity: 1, Foreign: foreign, Demand: 3})
	}
	return out
}

var laws = []struct {
	name string
	law  func() plant.Law
}{
	{"Drover", func() plant.Law { return &plant.Drover{} }},
	{"steps, as in sosw", func() plant.Law { return plant.Steps{} }},
	{"GitLab's", func() plant.Law { return &plant.GitLab{} }},
	{"Vitess's", func() plant.Law { return &plant.Vitess{} }},
	{"plain AIMD", func() plant.Law { return &plant.AIMD{} }},
}

func throughput(s plant.Score) float64 { return s.Throughput }
func above(s plant.Score) float64      { return s.Above }
func overshoot(s plant.Score) float64  { return s.Overshoot }
func turns(s plant.Score) float64      { return s.Turns }
func recovery(s plant.Score) float64   { return s.Recovery }

// TestDroverFindsTheCapAndNoOtherLawDoesBetter tries each law on the same plants, and holds Drover's to its targets by the median plant.
func TestDroverFindsTheCapAndNoOtherLawDoesBetter(t *testing.T) {
	var table strings.Builder
	table.WriteString("| scenario | law | throughput of the oracle's | time above the target + 10 % | overshoot | turns an hour | minutes to 90 % |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	for _, s := range scenarios {
		scores := map[string][]plant.Score{}
		for seed := range *seeds {
			oracle := plant.Run(s, seed, plant.Oracle{})
			for _, l := range laws {
				scores[l.name] = append(scores[l.name], plant.Judge(plant.Run(s, seed, l.law()), oracle))
			}
		}
		for _, l := range laws {
			at := func(part float64, of func(plant.Score) float64) float64 {
				return plant.Quantile(scores[l.name], part, of)
			}
			fmt.Fprintf(&table, "| %s | %s | %.2f (%.2f) | %.1f %% (%.1f %%) | %.0f %% | %.1f | %.0f (%.0f) |\n", s.Name, l.name, at(0.5, throughput), at(0.1, throughput),
				100*at(0.5, above), 100*at(0.9, above), 100*at(0.5, overshoot), at(0.5, turns), at(0.5, recovery), at(0.9, recovery))
		}

		own := func(of func(plant.Score) float64) float64 { return plant.Quantile(scores["Drover"], 0.5, of) }
		require.GreaterOrEqual(t, own(throughput), 0.9, s.Name)
		require.LessOrEqual(t, own(above), 0.05, s.Name)
		require.LessOrEqual(t, own(turns), 6.0, s.Name)
		switch s.Name {
		case "steady", "load step", "blackout", "two labourers": // elsewhere what is beyond the target is not the law's doing at first
			require.LessOrEqual(t, own(overshoot), 0.15, s.Name)
		case "capacity halved and back":
			require.LessOrEqual(t, own(recovery), 8.0, s.Name)
		}
		for _, l := range laws[1:] {
			other := func(of func(plant.Score) float64) float64 { return plant.Quantile(scores[l.name], 0.5, of) }
			require.False(t, other(throughput) >= own(throughput) && other(above) < own(above), "%s does better on %s", l.name, s.Name)
			require.True(t, own(throughput) >= other(throughput) || own(above) < other(above), "%s does more on %s at no more time above", l.name, s.Name)
		}
	}
	t.Log("\n" + table.String())
	if *update {
		document(t, table.String())
	}
}

// document writes the table between its marks, and the plots.
func document(t *testing.T, table string) {
	docs := filepath.Join("..", "..", "..", "docs")
	page := filepath.Join(docs, "adaptive.md")
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	const from, to = "<!-- table: go test ./shared/testing/plant -update -seeds=200 -->\n", "<!-- end of table -->\n"
	before, rest, found := strings.Cut(string(text), from)
	require.True(t, found)
	_, after, found := strings.Cut(rest, to)
	require.True(t, found)
	require.NoError(t, os.WriteFile(page, []byte(before+from+table+to+after), 0o644))
	require.NoError(t, os.MkdirAll(filepath.Join(docs, "adaptive"), 0o755))
	for _, i := range []int{2, 3, 6} {
		for _, l := range []int{0, 2} {
			name := strings.ReplaceAll(scenarios[i].Name, " ", "-") + "-" + strings.ToLower(strings.TrimSuffix(laws[l].name, "'s")) + ".svg"
			plot := plant.Plot(laws[l].name+" law: "+scenarios[i].Name, plant.Run(scenarios[i], 6, laws[l].law()))
			require.NoError(t, os.WriteFile(filepath.Join(docs, "adaptive", name), []byte(plot), 0o644))
		}
	}
}

func TestTheSamePlantRunsTheSameWay(t *testing.T) {
	for _, s := range scenarios {
		first, second := plant.Run(s, 3, &plant.Drover{}), plant.Run(s, 3, &plant.Drover{})
		require.Equal(t, first, second, s.Name)
	}
}
