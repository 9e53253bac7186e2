package console

import (
	"cmp"
	"context"
	"fmt"
	"html"
	"html/template"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-run/drover/shared/core/adaptive"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/metric"
	"github.com/drover-run/drover/shared/inspect"
)

// chart is a drawing with words that say the same.
type chart struct {
	Title, Words string
	SVG          template.HTML
}

// svg writes a drawing. All text in it is escaped; colours come from the style sheet by class.
type svg struct{ strings.Builder }

func (s *svg) add(format string, arguments ...any) { fmt.Fprintf(s, format, arguments...) }

func (s *svg) text(x, y float64, class, text string) {
	s.add(`<text x="%.1f" y="%.1f" class="%s">%s</text>`, x, y, class, html.EscapeString(text))
}

// done returns the drawing, which scales with its box, named by words for screen readers.
func (s *svg) done(width, height int, class, words string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg class="%s" viewBox="0 0 %d %d" role="img" aria-label="%s">%s</svg>`, //nolint:gosec // every text in it is escaped
		class, width, height, html.EscapeString(words), s.String()))
}

// point is a value at a time.
type point struct {
	at    time.Time
	value float64
}

// line is a series of points.
type line struct {
	name, class string
	points      []point
}

// level is a threshold.
type level struct {
	value float64
	name  string
}

// mark is something that happened.
type mark struct {
	at   time.Time
	text string
}

const (
	chartWidth  = 480
	chartHeight = 150
	chartLeft   = 44.0
	chartRight  = 76.0
	chartTop    = 12.0
	chartBottom = 22.0
)

// plot draws lines over time, with thresholds and what happened.
func plot(title string, from, to time.Time, lines []line, levels []level, marks []mark) chart {
	lowest, highest := math.Inf(1), math.Inf(-1)
	span := func(v float64) { lowest, highest = min(lowest, v), max(highest, v) }
	span(0)
	var words []string
	for _, l := range lines {
		for _, p := range l.points {
			span(p.value)
		}
		if n := len(l.points); n > 0 {
			words = append(words, l.name+" "+number(l.points[n-1].value))
		}
	}
	for _, l := range levels {
		span(l.value)
		words = append(words, l.name+" at "+number(l.value))
	}
	if highest <= lowest {
		highest = lowest + 1
	}
	right, bottom := chartWidth-chartRight, chartHeight-chartBottom
	x := func(at time.Time) float64 {
		return chartLeft + (right-chartLeft)*at.Sub(from).Seconds()/max(to.Sub(from).Seconds(), 1)
	}
	y := func(v float64) float64 { return bottom - (bottom-chartTop)*(v-lowest)/(highest-lowest) }
	var s svg
	for _, v := range []float64{lowest, (lowest + highest) / 2, highest} {
		s.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" class="grid"/>`, chartLeft, right, y(v), y(v))
		s.text(chartLeft-6, y(v)+4, "axis end", number(v))
	}
	s.text(chartLeft, chartHeight-6, "axis", from.UTC().Format("15:04"))
	s.text(right, chartHeight-6, "axis end", to.UTC().Format("15:04")+" UTC")
	for _, l := range levels {
		s.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" class="level"/>`, chartLeft, right, y(l.value), y(l.value))
		s.text(right+5, y(l.value)+4, "axis", l.name)
	}
	for _, m := range marks {
		if m.at.Before(from) || m.at.After(to) {
			continue
		}
		s.add(`<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" class="mark"><title>%s</title></line>`, x(m.at), x(m.at), chartTop, bottom, html.EscapeString(m.text))
	}
	for _, l := range lines {
		if len(l.points) > 0 {
			s.add(`<polyline points="%s" class="line %s"/>`, polyline(l.points, x, y), l.class)
		}
	}
	said := "last: " + strings.Join(words, ", ")
	return chart{title, said, s.done(chartWidth, chartHeight, "plot", title+", "+said)}
}

func polyline(points []point, x func(time.Time) float64, y func(float64) float64) string {
	parts := make([]string, len(points))
	for i, p := range points {
		parts[i] = fmt.Sprintf("%.1f,%.1f", x(p.at), y(p.value))
	}
	return strings.Join(parts, " ")
}

// sparkline draws what a labourer ran in the last hour, and what was due.
func sparkline(samples []sample) template.HTML {
	const width, height = 120, 24
	if len(samples) < 2 {
		return ""
	}
	first, last := samples[0].At, samples[len(samples)-1].At
	highest := 1.0
	var running, due []point
	for _, one := range samples {
		running, due = append(running, point{one.At, float64(one.Running)}), append(due, point{one.At, float64(one.Due)})
		highest = max(highest, float64(one.Running), float64(one.Due))
	}
	x := func(at time.Time) float64 {
		return 1 + (width-2)*at.Sub(first).Seconds()/max(last.Sub(first).Seconds(), 1)
	}
	y := func(v float64) float64 { return height - 2 - (height-4)*v/highest }
	var s svg
	s.add(`<polyline points="%s" class="line due"/>`, polyline(due, x, y))
	s.add(`<polyline points="%s" class="line running"/>`, polyline(running, x, y))
	now := samples[len(samples)-1]
	return s.done(width, height, "spark", fmt.Sprintf("%d running and %d due now, at most %.0f in the last %s", now.Running, now.Due, highest, span(last.Sub(first))))
}

// progressBar draws how far a job is.
func progressBar(j inspect.Job) template.HTML {
	var s svg
	s.add(`<rect x="0" y="0" width="100" height="4" class="open"/>`)
	at := 0.0
	total := float64(max(j.Total, 1))
	for _, part := range []struct {
		n     int
		class string
	}{{j.Completed, "completed"}, {j.Dead, "dead"}, {j.Cancelled, "cancelled"}} {
		if part.n == 0 {
			continue
		}
		width := max(100*float64(part.n)/total, 0.8)
		s.add(`<rect x="%.2f" y="0" width="%.2f" height="4" class="%s"/>`, min(at, 100-width), width, part.class)
		at += width
	}
	drawn := s.done(100, 4, "bar", fmt.Sprintf("%d of %d completed, %d dead, %d cancelled, %d open", j.Completed, j.Total, j.Dead, j.Cancelled, j.Open))
	return template.HTML(strings.Replace(string(drawn), "<svg ", `<svg preserveAspectRatio="none" `, 1)) //nolint:gosec // as above
}

// buckets are the bounds of a histogram.
var buckets = []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute,
	time.Hour, 6 * time.Hour}

// histogram draws how long things took. The times are sorted.
func histogram(title string, sorted []time.Duration) chart {
	if len(sorted) == 0 {
		return chart{Title: title}
	}
	counts := make([]int, len(buckets)+1)
	for _, d := range sorted {
		i, _ := slices.BinarySearch(buckets, d)
		counts[i]++
	}
	const width, height, top = 560.0, 120.0, 10.0
	each := width / float64(len(counts))
	most := slices.Max(counts)
	var s svg
	for i, n := range counts {
		tall := (height - top - 18) * float64(n) / float64(most)
		s.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="column"/>`, float64(i)*each+4, height-16-tall, each-8, tall)
		label := "≤ " + span(buckets[min(i, len(buckets)-1)])
		if i == len(buckets) {
			label = "more"
		}
		s.text(float64(i)*each+each/2, height-4, "axis middle small", label)
		if n > 0 {
			s.text(float64(i)*each+each/2, height-19-tall, "axis middle small", fmt.Sprint(n))
		}
	}
	at := func(share float64) string { return span(sorted[int(share*float64(len(sorted)-1))]) }
	words := fmt.Sprintf("half within %s, 95%% within %s, all within %s", at(0.5), at(0.95), at(1))
	return chart{title, words, s.done(int(width), int(height), "histogram", title+": "+words)}
}

// timeline draws a task from its creation to its end: where it waited, and its attempts.
func timeline(d inspect.Detail, now time.Time) chart {
	const width, row, left = 1000.0, 22.0, 130.0
	end := now
	if d.ClosedAt != nil {
		end = *d.ClosedAt
	}
	whole := max(end.Sub(d.CreatedAt).Seconds(), 0.001)
	x := func(at time.Time) float64 {
		return left + (width-left-8)*min(max(at.Sub(d.CreatedAt).Seconds()/whole, 0), 1)
	}
	var s svg
	var words []string
	y, before := 4.0, d.CreatedAt
	piece := func(name, class string, from, to time.Time, note string) {
		s.text(0, y+13, "axis", name)
		s.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="14" rx="2" class="%s"><title>%s</title></rect>`, x(from), y+2, max(x(to)-x(from), 2), class,
			html.EscapeString(note))
		words = append(words, note)
		y += row
	}
	const most = 12 // attempts
	shown := d.Attempts[max(len(d.Attempts)-most, 0):]
	if len(shown) < len(d.Attempts) {
		if closed := d.Attempts[len(d.Attempts)-most-1].ClosedAt; closed != nil {
			before = *closed
		}
	}
	for i, a := range shown {
		started, ended := end, end
		if a.DispatchedAt != nil {
			started = *a.DispatchedAt
		}
		if a.ClosedAt != nil {
			ended = *a.ClosedAt
		}
		why := "in line"
		if i > 0 || a.Attempt > 1 {
			why = "waited for the retry"
		}
		piece(why, "wait", before, started, fmt.Sprintf("%s for %s", why, span(started.Sub(before))))
		if a.DispatchedAt != nil {
			note := fmt.Sprintf("attempt %d: %s after %s", a.Attempt, a.Status, span(ended.Sub(started)))
			if a.Error != nil {
				note += ", " + a.Error.Type
			}
			piece(fmt.Sprintf("attempt %d", a.Attempt), "attempt "+a.Status, started, ended, note)
		}
		before = ended
	}
	if d.ClosedAt == nil && d.Status != inspect.Running {
		piece(string(d.Status), "wait", before, end, fmt.Sprintf("%s for %s", d.Status, span(end.Sub(before))))
	}
	s.text(left, y+12, "axis", d.CreatedAt.UTC().Format(time.DateTime))
	s.text(width-8, y+12, "axis end", end.UTC().Format(time.DateTime)+" UTC")
	return chart{"Timeline", strings.Join(words, "; "), s.done(int(width), int(y+18), "timeline", strings.Join(words, "; "))}
}

// chartsOver says how far back the charts of a labourer go.
const chartsOver = 3 * time.Hour

// drawing holds the charts of a labourer, and the changes of its cap.
type drawing struct {
	at     time.Time
	charts []chart
	why    string // there are none
	caps   []adaptive.Noted
}

// draw draws the charts of a labourer: health by metric with its thresholds, cap and running tasks, what was due, and where the cap changed. It makes one
// request of up to 23 queries. Where CloudWatch has nothing of what ran, it draws what this console has seen.
func draw(ctx context.Context, st *Stack, seen []sample, b inspect.Beat, now time.Time) drawing {
	l := b.Configuration
	queries := map[string]ecology.Query{}
	for _, name := range []string{metric.Running, metric.Cap, metric.Due} {
		queries["drover "+name] = inspect.Emitted(st.Name, l.ID, name)
	}
	names := slices.Sorted(maps.Keys(l.HealthMetrics))
	names = names[:min(len(names), 20)]
	for _, name := range names {
		queries["health "+name] = l.HealthMetrics[name].Query
	}
	from := now.Add(-chartsOver)
	var d drawing
	series, err := st.History.Series(ctx, queries, from, now)
	if err != nil {
		series, d.why = map[string][]ecology.Point{}, "CloudWatch could not be read"
	}
	if d.caps, err = st.Reader.Health.Noted(ctx, l.ID); err != nil {
		d.why = "the changes of its cap could not be read"
	}
	var marks []mark
	for _, n := range d.caps {
		marks = append(marks, mark{n.At, fmt.Sprintf("%s: from %d to %d, %s", n.At.UTC().Format("15:04"), n.From, n.To, n.Reason)})
	}
	pace := []line{{"running", "running", pointsOf(series["drover Running"])}, {"cap", "cap", pointsOf(series["drover Cap"])}}
	due := []line{{"due", "due", pointsOf(series["drover Due"])}}
	title, since := "", from
	if len(pace[0].points) == 0 && len(seen) > 1 {
		since, title = seen[0].At, ", as seen by this console"
		for i := range pace {
			pace[i].points = nil
		}
		due[0].points = nil
		for _, one := range seen {
			pace[0].points = append(pace[0].points, point{one.At, float64(one.Running)})
			pace[1].points = append(pace[1].points, point{one.At, one.Cap})
			due[0].points = append(due[0].points, point{one.At, float64(one.Due)})
		}
	}
	if len(pace[1].points) == 0 {
		pace[1].points = steps(d.caps, from, now)
	}
	if len(pace[0].points)+len(pace[1].points) > 0 {
		d.charts = append(d.charts, plot("Running and cap"+title, since, now, pace, nil, marks))
	}
	if len(due[0].points) > 0 {
		d.charts = append(d.charts, plot("Due"+title, since, now, due, nil, nil))
	}
	for _, name := range names {
		points := pointsOf(series["health "+name])
		if len(points) == 0 {
			continue
		}
		var levels []level
		for status, target := range l.HealthMetrics[name].Feelings {
			levels = append(levels, level{target, status.String()})
		}
		var of []mark
		if l.Adaptive != nil {
			if target, aims := l.Adaptive.Toward[name]; aims {
				levels, of = append(levels, level{target, "target"}), marks
			}
		}
		slices.SortFunc(levels, func(a, b level) int { return cmp.Compare(a.value, b.value) })
		d.charts = append(d.charts, plot("Health: "+name, from, now, []line{{name, "health", points}}, levels, of))
	}
	if len(d.charts) == 0 && d.why == "" {
		d.why = "CloudWatch has no values yet, and this console has not watched for long"
	}
	slices.Reverse(d.caps)
	return d
}

// steps returns the cap between its changes.
func steps(changes []adaptive.Noted, from, to time.Time) (points []point) {
	for i, n := range changes {
		end := to
		if i+1 < len(changes) {
			end = changes[i+1].At
		}
		if begin := n.At; end.After(from) && !n.Shadow {
			if begin.Before(from) {
				begin = from
			}
			points = append(points, point{begin, float64(n.To)}, point{end, float64(n.To)})
		}
	}
	return points
}

func pointsOf(values []ecology.Point) []point {
	out := make([]point, len(values))
	for i, v := range values {
		out[i] = point{v.At, v.Value}
	}
	slices.SortFunc(out, func(a, b point) int { return a.at.Compare(b.at) })
	return out
}

// drawingAge says for how long the charts of a labourer are shown again: CloudWatch charges for each query.
const drawingAge = time.Minute

// cache keeps the charts of labourers.
type cache struct {
	now   func() time.Time
	mu    sync.Mutex
	drawn map[string]drawing
}

func (c *cache) of(labourer string, draw func() drawing) drawing {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	maps.DeleteFunc(c.drawn, func(_ string, d drawing) bool { return now.Sub(d.at) >= drawingAge })
	if d, is := c.drawn[labourer]; is {
		return d
	}
	d := draw()
	d.at = now
	if c.drawn == nil {
		c.drawn = map[string]drawing{}
	}
	c.drawn[labourer] = d
	return d
}
