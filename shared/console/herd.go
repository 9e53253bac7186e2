package console

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/core/decision"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/inspect"
)

const (
	// beatsATurn limits how many labourers one turn reads, each by at most four requests.
	beatsATurn = 40
	// restfulAge says after how long a labourer without work is read again where a turn does not read all. One with work is read each turn.
	restfulAge = 30 * time.Second
	// namesAge says after how long the configurations of all labourers are read again.
	namesAge = 30 * time.Second
	// kept says how many samples of a labourer are kept, one a minute.
	kept = 60
)

// sample holds what a labourer did at a time.
type sample struct {
	At                    time.Time
	Running, Due, Desired int
	Cap                   float64
}

// member is a labourer of the herd.
type member struct {
	configuration labourer.Labourer
	beat          inspect.Beat
	at            time.Time // when it was read; zero: not yet
	samples       []sample
}

// herd keeps the last beat of each labourer. In a turn it reads those again that are most out of date. So a stack with many labourers takes several
// turns to be read, and never more requests.
type herd struct {
	pulse   *inspect.Pulse
	members map[string]*member
	named   time.Time
}

// turn reads some labourers. Those that are at work, by their open jobs, are busy. It reports whether some have never been read.
func (h *herd) turn(ctx context.Context, atWork map[string]bool, now time.Time) (unread bool, err error) {
	if now.Sub(h.named) >= namesAge {
		applied, err := h.pulse.Registry.Labourers(ctx)
		if err != nil {
			return false, err
		}
		maps.DeleteFunc(h.members, func(id string, _ *member) bool { _, is := applied[id]; return !is })
		for id, l := range applied {
			if h.members[id] == nil {
				h.members[id] = &member{}
			}
			h.members[id].configuration = l
		}
		h.named = now
	}
	late := h.late(atWork, now)
	var some []labourer.Labourer
	for _, m := range late[:min(len(late), beatsATurn)] {
		some = append(some, m.configuration)
	}
	beats, err := h.pulse.Some(ctx, some)
	if err != nil {
		return false, err
	}
	for _, b := range beats {
		h.members[b.Labourer.Labourer].take(b, now)
	}
	return slices.ContainsFunc(late[len(beats):], func(m *member) bool { return m.at.IsZero() }), nil
}

// late returns the members that are to be read again, the longest late first.
func (h *herd) late(atWork map[string]bool, now time.Time) []*member {
	var late []*member
	few := len(h.members) <= beatsATurn
	for _, id := range slices.Sorted(maps.Keys(h.members)) {
		if m := h.members[id]; few || m.at.IsZero() || m.busy() || atWork[id] || now.Sub(m.at) >= restfulAge {
			late = append(late, m)
		}
	}
	slices.SortStableFunc(late, func(a, b *member) int { return a.at.Compare(b.at) })
	return late
}

// recalledMost limits for how many labourers CloudWatch is asked what they did before the console began: it charges for each metric.
const recalledMost = 100

// recall reads what the labourers did in the last hour, once. Without an answer the console shows what it sees itself.
func (h *herd) recall(ctx context.Context, st *Stack, now time.Time) {
	queries := map[string]ecology.Query{}
	ids := slices.Sorted(maps.Keys(h.members))
	for _, id := range ids[:min(len(ids), recalledMost)] {
		queries["running "+id], queries["due "+id] = inspect.Emitted(st.Name, id, metric.Running), inspect.Emitted(st.Name, id, metric.Due)
	}
	series, err := st.History.Series(ctx, queries, now.Add(-time.Hour), now)
	if err != nil {
		return
	}
	for _, id := range ids {
		due := map[time.Time]float64{}
		for _, p := range series["due "+id] {
			due[p.At] = p.Value
		}
		var before []sample
		for _, p := range pointsOf(series["running "+id]) {
			before = append(before, sample{At: p.at, Running: int(p.value), Due: int(due[p.at])})
		}
		h.members[id].samples = slices.Concat(before, h.members[id].samples)
	}
}

// busy reports whether what the labourer does may change by itself.
func (m *member) busy() bool {
	return m.beat.Running+m.beat.Due+m.beat.Later > 0 || m.beat.Paused || m.beat.Trouble != nil
}

func (m *member) take(b inspect.Beat, now time.Time) {
	m.beat, m.at = b, now
	s := sample{now, b.Running, b.Due, b.Desired, b.Cap}
	if n := len(m.samples); n > 1 && now.Sub(m.samples[n-2].At) < time.Minute {
		m.samples[n-1] = s
		return
	}
	m.samples = append(m.samples, s)
	m.samples = m.samples[max(len(m.samples)-kept, 0):]
}

// row is a labourer in the overview.
type row struct {
	inspect.Labourer

	Read    time.Time // when it was read; zero: not yet
	Heed    heed
	Samples []sample
}

// oldest returns since when the first of a labourer's due tasks is due; zero: none is.
func oldest(l inspect.Labourer) time.Time {
	if l.OldestDue == nil {
		return time.Time{}
	}
	return *l.OldestDue
}

// heed says how much attention a labourer needs.
type heed int

// The order in which an overview lists labourers.
const (
	stuck   heed = iota // tasks are due, and none can start
	pressed             // tasks are due, and wait for slots
	working             // tasks run, or are about to
	resting             // nothing is due
	unknown             // not read yet
)

func heedOf(m *member, now time.Time) heed {
	b := m.beat
	switch {
	case m.at.IsZero():
		return unknown
	case b.Due > 0 && (b.Blocked() || b.Binding == decision.Target):
		return stuck
	case b.Due > 0 && (b.Binding == decision.Health || now.Sub(oldest(b.Labourer)) > inspect.Grace):
		return pressed
	case b.Due > 0 || b.Running > 0:
		return working
	}
	return resting
}

// orders are the orders of an overview's labourers, the first is the default.
var orders = []string{"attention", "name", "due", "running", "oldest"}

// rows returns the labourers whose name contains a text.
func (h *herd) rows(match, order string, now time.Time) []row {
	var rows []row
	for _, id := range slices.Sorted(maps.Keys(h.members)) {
		m := h.members[id]
		if !strings.Contains(strings.ToLower(id), strings.ToLower(match)) {
			continue
		}
		r := row{Labourer: m.beat.Labourer, Read: m.at, Heed: heedOf(m, now), Samples: slices.Clone(m.samples)}
		r.Labourer.Labourer = id
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b row) int {
		switch order {
		case "name":
			return 0
		case "due":
			return cmp.Compare(b.Due, a.Due)
		case "running":
			return cmp.Compare(b.Running, a.Running)
		case "oldest":
			return cmp.Or(cmp.Compare(boolean(a.OldestDue == nil), boolean(b.OldestDue == nil)), oldest(a.Labourer).Compare(oldest(b.Labourer)))
		}
		return cmp.Or(cmp.Compare(a.Heed, b.Heed), cmp.Compare(b.Due, a.Due))
	})
	return rows
}

func boolean(is bool) int {
	if is {
		return 1
	}
	return 0
}
