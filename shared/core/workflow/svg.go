package workflow

import (
	"fmt"
	"html"
	"strings"
	"unicode/utf8"
)

// Sizes of a drawing, in pixels. Its text is 14 high and about 8 wide for each letter.
const (
	boxHeight, boxGap, letter, margin, stageWidth = 40, 12, 8, 16, 90
	fewestLetters, perRow                         = 10, 6
)

// SVG draws a workflow, or a run of it, as an SVG image: a frame for each activity, in it a row for each stage. Plugins of pre and post stand in the
// order in which they run. Optional plugins have a dashed border.
func SVG(name string, tree Tree, ofRun bool) string {
	widest := fewestLetters
	for _, a := range tree.Activities {
		for _, s := range a.Stages {
			for _, t := range s.Turns {
				widest = max(widest, utf8.RuneCountInString(t.Plugin), len(t.State)*letter/(letter+1))
			}
		}
	}
	box := widest*letter + 2*boxGap
	width := 2*margin + stageWidth + perRow*(box+boxGap)
	var b strings.Builder
	y := margin + 20
	label := func(x, y int, text, extra string) {
		fmt.Fprintf(&b, "<text x=\"%d\" y=\"%d\"%s>%s</text>\n", x, y, extra, html.EscapeString(text))
	}
	title := name
	if ofRun {
		title += ": " + string(tree.State)
	}
	label(margin, y, title, ` font-weight="bold"`)
	y += margin
	for _, a := range tree.Activities {
		top := y
		y += 26
		title := a.Activity
		if ofRun {
			title += ": " + string(a.State)
		}
		label(2*margin, y, title, ` font-weight="bold"`)
		y += boxGap
		for _, s := range a.Stages {
			if len(s.Turns) == 0 {
				continue
			}
			label(2*margin, y+boxHeight/2+5, s.Stage.String(), ` fill="#6b7280"`)
			for i, t := range s.Turns {
				x, at := margin+stageWidth+i%perRow*(box+boxGap), y+i/perRow*(boxHeight+boxGap)
				fill, ink, dashes := "#ffffff", "#111827", ""
				if ofRun {
					fill, ink = colourOf(t.State)
				}
				if !t.Mandatory {
					dashes = ` stroke-dasharray="4 3"`
				}
				fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"6\" fill=\"%s\" stroke=\"#6b7280\"%s/>\n", x, at, box, boxHeight, fill, dashes)
				middle := fmt.Sprintf(` text-anchor="middle" fill="%s"`, ink)
				if !ofRun {
					label(x+box/2, at+boxHeight/2+5, t.Plugin, middle)
					continue
				}
				label(x+box/2, at+17, t.Plugin, middle)
				label(x+box/2, at+33, string(t.State), middle+` font-size="11"`)
			}
			rows := (len(s.Turns) + perRow - 1) / perRow
			y += rows * (boxHeight + boxGap)
		}
		fmt.Fprintf(&b, "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"8\" fill=\"none\" stroke=\"#9ca3af\"/>\n", margin, top+6, width-2*margin, y-top)
		y += margin
	}
	return fmt.Sprintf("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" font-family=\"sans-serif\" font-size=\"14\">\n%s%s</svg>\n",
		width, y+margin, fmt.Sprintf("<rect width=\"%d\" height=\"%d\" fill=\"#ffffff\"/>\n", width, y+margin), b.String())
}

func colourOf(s State) (fill, text string) {
	for _, c := range colours {
		if c.state == s {
			return c.fill, c.text
		}
	}
	return "#ffffff", "#111827"
}
