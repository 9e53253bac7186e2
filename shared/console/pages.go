package console

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io/fs"
	"math"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/drover-run/drover/shared/inspect"
)

//go:embed templates
var templates embed.FS

//go:embed static
var static embed.FS

// files serves the style sheet, the scripts and the icon.
func files() http.Handler {
	sub, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return http.StripPrefix("/static/", http.FileServerFS(sub))
}

// pages are the templates of the pages, by name.
type pages map[string]*template.Template

// parsePages parses the templates. They are part of the program, so a fault in one is a fault of the program.
func parsePages() pages {
	frame := template.Must(template.New("layout.html").Funcs(functions).ParseFS(templates, "templates/layout.html", "templates/parts.html"))
	names, err := fs.Glob(templates, "templates/*.html")
	if err != nil {
		panic(err)
	}
	out := pages{}
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		if name != "layout" && name != "parts" {
			out[name] = template.Must(template.Must(frame.Clone()).ParseFS(templates, file))
		}
	}
	return out
}

// framed holds what the frame of a page shows around it.
type framed struct {
	Title    string
	Name     string // of the page's template
	Path     string
	Query    string // what was searched
	Token    string
	ReadOnly bool
	Stack    string
	Region   string
	URL      *url.URL
	At       time.Time
	Data     any
}

// render writes a page.
func (c *Console) render(w http.ResponseWriter, r request, status int, v view) {
	f := framed{Title: v.title, Name: v.name, Path: r.URL.Path, Query: r.URL.Query().Get("q"), ReadOnly: c.ReadOnly, URL: r.URL, At: r.now, Data: v.data}
	if !c.ReadOnly {
		f.Token = c.token
	}
	if r.stack != nil {
		f.Stack, f.Region = r.stack.Name, r.stack.Region
	}
	var page bytes.Buffer
	if err := c.pages[v.name].ExecuteTemplate(&page, "layout.html", f); err != nil {
		c.Log.Error("a page could not be rendered", "page", v.name, "error", err)
		http.Error(w, "The page could not be rendered.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(page.Bytes()) // the browser may be gone
}

// functions are what the templates call.
var functions = template.FuncMap{
	"to":        address,
	"linked":    linked,
	"number":    number,
	"count":     inspect.Count,
	"span":      span,
	"since":     func(now, then time.Time) string { return span(now.Sub(then)) },
	"bar":       progressBar,
	"spark":     sparkline,
	"thousands": thousands,
	"rate":      rateWords,
	"visible":   visible,
	"slug":      slug,
	"dict":      dictionary,
	"deref":     func(t *time.Time) time.Time { return *t },
	"oldest":    oldest,
	"lower":     func(text any) string { return strings.ToLower(fmt.Sprint(text)) },
	"words":     func(text any) string { return strings.ReplaceAll(fmt.Sprint(text), "_", " ") },
	"heed":      func(h heed) string { return [...]string{"stuck", "pressed", "working", "resting", "unknown"}[h] },
}

// address returns the address of a page: of a folder and an id.
func address(folder, id string) string { return "/" + folder + "/" + url.PathEscape(id) }

// slug returns a word for a class: a state in small letters, with - for spaces.
func slug(state any) string {
	return strings.ReplaceAll(strings.ToLower(fmt.Sprint(state)), " ", "-")
}

// dictionary returns a map of pairs of names and values, for templates with several parameters.
func dictionary(pairs ...any) map[string]any {
	out := map[string]any{}
	for i := 0; i+1 < len(pairs); i += 2 {
		out[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return out
}

// number returns a whole number in full, and another one in five digits.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1e15 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 5, 64)
}

// thousands returns a number with separated thousands.
func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "\u202f" + digits[i:]
	}
	return digits
}

// rateWords returns a throughput: tasks a second, a minute or an hour.
func rateWords(perSecond float64) string {
	switch {
	case perSecond <= 0:
		return "–"
	case perSecond >= 1:
		return number(round(perSecond)) + "/s"
	case perSecond*60 >= 1:
		return number(round(perSecond*60)) + "/min"
	}
	return number(round(perSecond*3600)) + "/h"
}

func round(v float64) float64 {
	out, err := strconv.ParseFloat(strconv.FormatFloat(v, 'f', 1, 64), 64)
	if err != nil {
		return v
	}
	return out
}

// span returns a duration in at most two units: "250 ms", "3.2 s", "4 min 10 s", "2 h 5 min", "3 d 4 h".
func span(d time.Duration) string {
	if d < 0 {
		return "-" + span(-d)
	}
	pair := func(whole time.Duration, a string, part time.Duration, b string) string {
		text := fmt.Sprintf("%d %s", d/whole, a)
		if rest := d % whole / part; rest > 0 {
			text += fmt.Sprintf(" %d %s", rest, b)
		}
		return text
	}
	const day = 24 * time.Hour
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return number(round(d.Seconds())) + " s"
	case d < time.Hour:
		return pair(time.Minute, "min", time.Second, "s")
	case d < day:
		return pair(time.Hour, "h", time.Minute, "min")
	}
	return pair(day, "d", time.Hour, "h")
}
