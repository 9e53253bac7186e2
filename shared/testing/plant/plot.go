package plant

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Plot draws a run as SVG: the load with its target above, the cap with the oracle's below.
func Plot(title string, run []Minute) string {
	const width, height, left, top, gap = 880, 130, 46, 30, 34
	end := run[len(run)-1].At + time.Minute
	most := 0.0
	for _, m := range run {
		most = max(most, float64(m.Cap), float64(m.Limit))
	}
	x := func(at time.Duration) float64 { return left + width*float64(at)/float64(end) }
	lower := float64(top + height + gap)
	load := func(v float64) float64 { return top + height*(1-v/saturation) }
	count := func(v float64) float64 { return lower + height*(1-v/most) }
	line := func(class string, y func(Minute) float64) string {
		points := make([]string, len(run))
		for i, m := range run {
			points[i] = fmt.Sprintf("%.1f,%.1f", x(m.At), y(m))
		}
		return fmt.Sprintf("<polyline class=%q points=%q/>\n", class, strings.Join(points, " "))
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" role="img" aria-label=%q>
<style>svg{background:#fff}polyline{fill:none;stroke-width:1.6}text{fill:#374151}line{stroke:#d1d5db}
.load{stroke:#c2410c}.cap{stroke:#1d4ed8}.limit,.target{stroke:#9ca3af;stroke-dasharray:4 3}</style>
<text x="%d" y="18" font-weight="bold">%s</text>
`, width+left+20, 2*height+gap+top+30, title, left, title)
	fmt.Fprintf(&b, `<line class="target" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>`+"\n", left, left+width, load(Target), load(Target))
	for _, v := range []float64{0, Target, saturation} {
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%.0f</text>`+"\n", left-6, load(v)+4, v)
	}
	for _, v := range []float64{0, math.Round(most/2 + 0.5), most} {
		fmt.Fprintf(&b, `<text x="%d" y="%.1f" text-anchor="end">%.0f</text>`+"\n", left-6, count(v)+4, v)
	}
	for h := time.Duration(0); h <= end; h += time.Hour {
		fmt.Fprintf(&b, `<line x1="%.1f" x2="%.1f" y1="%d" y2="%.1f"/><text x="%.1f" y="%.1f" text-anchor="middle">%.0f h</text>`+"\n",
			x(h), x(h), top, lower+height, x(h), lower+height+18, h.Hours())
	}
	b.WriteString(line("load", func(m Minute) float64 { return load(m.Load) }))
	b.WriteString(line("limit", func(m Minute) float64 { return count(float64(m.Limit)) }))
	b.WriteString(line("cap", func(m Minute) float64 { return count(float64(m.Cap)) }))
	fmt.Fprintf(&b, `<text x="%d" y="18">load of the database (dashed: the target)</text>`+"\n", left+width/2)
	fmt.Fprintf(&b, `<text x="%d" y="%.1f">cap (dashed: the cap that would bring the load to the target)</text>`+"\n</svg>\n", left+width/2, lower-8)
	return b.String()
}
