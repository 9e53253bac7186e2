package console

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	flow "github.com/drover-run/drover/shared/core/workflow"
	"github.com/drover-run/drover/shared/inspect"
)

// Stack holds what the console reads of one stack, and how it acts on it.
type Stack struct {
	Name     string
	Region   string
	Endpoint string // of a local AWS; "": AWS's own, so that pages may link to the AWS console

	Reader    *inspect.Reader
	Runs      inspect.Runs
	Why       inspect.Whys
	Workflows Workflows
	History   inspect.History
	Actions   Actions
	Doctor    func(context.Context) ([]Check, error)
}

// Workflows reads the definitions of workflows.
type Workflows interface {
	Names(ctx context.Context) ([]string, error)
	Newest(ctx context.Context, workflow string) (flow.Composition, bool, error)
}

// Actions change a stack. Each does what the command of the command line does.
type Actions interface {
	SetPaused(ctx context.Context, labourer string, paused bool) error
	Cancel(ctx context.Context, job string) error
	Replay(ctx context.Context, tasks []string, job, labourer string) error
	ChangeRun(ctx context.Context, run, verb string) (flow.State, error) // cancel, pause, resume
}

// Check is a result of the doctor.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Fix    string `json:"fix,omitempty"`
}

// Trouble says to a person why something could not be read or done.
type Trouble struct {
	Status int    // of the response
	Reason string // one sentence
	Fix    string // what to do; "" if nothing is known
}

// Options configure a console.
type Options struct {
	// Open finds the stack. It is called again after it failed.
	Open func(context.Context) (*Stack, error)
	// Explain says what an error of AWS means.
	Explain func(error) Trouble
	// Host holds the address in the browser: "127.0.0.1:4500".
	Host     string
	ReadOnly bool
	Now      func() time.Time
	Log      *slog.Logger // of actions
}

// Console serves one stack.
type Console struct {
	Options

	token string
	pages pages
	live  *live

	mu      sync.Mutex
	stack   *Stack
	checked *checked // the last result of the doctor
	charts  cache
}

// New returns a console. Its loop runs until ctx ends.
func New(ctx context.Context, o Options) *Console {
	c := &Console{Options: o, token: rand.Text(), pages: parsePages(), charts: cache{now: o.Now}}
	c.live = newLive(ctx, c)
	return c
}

// open returns the stack. It looks for it until it is found.
func (c *Console) open(ctx context.Context) (*Stack, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stack != nil {
		return c.stack, nil
	}
	st, err := c.Open(ctx)
	if err == nil {
		c.stack = st
	}
	return st, err
}

const (
	// patience limits how long a page or a document may take.
	patience = 25 * time.Second
	// diagnosis limits how long the doctor may take, which makes requests for each labourer.
	diagnosis = 2 * time.Minute
	// longestBody limits the body of an action: 5,000 ids of tasks.
	longestBody = 256 << 10
)

// request is a request with the stack that it is about.
type request struct {
	*http.Request

	stack *Stack
	now   time.Time
}

// view is a page that is to be rendered.
type view struct {
	name  string // of its template
	title string
	data  any
}

// moved sends the browser to another page.
type moved struct{ to string }

func (m *moved) Error() string { return "see " + m.to }

// Handler returns the console's handler.
func (c *Console) Handler() http.Handler {
	mux := http.NewServeMux()
	for path, show := range map[string]func(request) (view, error){
		"/{$}": c.overview, "/labourers/{id}": c.labourer, "/jobs": c.jobs, "/jobs/{id}": c.job, "/tasks/{id}": c.task, "/dead": c.dead,
		"/replays": c.replays, "/workflows": c.workflows, "/workflows/{id}": c.workflow, "/runs": c.runs, "/runs/{id}": c.run,
		"/search": c.search, "/doctor": c.doctor,
	} {
		mux.Handle(path, only(c, c.page(show), http.MethodGet, http.MethodHead))
	}
	for path, answer := range map[string]func(request) (any, error){
		"/api/labourers": c.labourersDocument, "/api/labourers/{id}": c.labourerDocument, "/api/jobs": c.jobsDocument, "/api/jobs/{id}": c.jobDocument,
		"/api/jobs/{id}/tasks": c.tasksDocument, "/api/tasks/{id}": c.taskDocument, "/api/dead": c.deadDocument, "/api/dead/count": c.deadCountDocument,
		"/api/runs": c.runsDocument, "/api/runs/{id}": c.runDocument, "/api/why/{id}": c.whyDocument, "/api/doctor": c.doctorDocument,
	} {
		mux.Handle(path, only(c, c.document(answer), http.MethodGet, http.MethodHead))
	}
	for path, act := range map[string]func(request) (any, error){
		"/api/labourers/{id}/pause": c.pause, "/api/labourers/{id}/resume": c.resume, "/api/jobs/{id}/cancel": c.cancel, "/api/replay": c.replay,
		"/api/runs/{id}/cancel": c.changeRun("cancel"), "/api/runs/{id}/pause": c.changeRun("pause"), "/api/runs/{id}/resume": c.changeRun("resume"),
	} {
		mux.Handle(path, only(c, c.action(act), http.MethodPost))
	}
	mux.Handle("/api/live", only(c, c.live, http.MethodGet))
	mux.Handle("/static/", only(c, files(), http.MethodGet, http.MethodHead))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, r, &inspect.NotFoundError{Kind: "page", ID: r.URL.Path})
	})
	return c.guard(mux)
}

// only lets requests with these methods through.
func only(c *Console, h http.Handler, methods ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if slices.Contains(methods, r.Method) {
			h.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Allow", strings.Join(methods, ", "))
		c.fail(w, r, &refusal{http.StatusMethodNotAllowed, "the method " + r.Method + " is not allowed here; want " + strings.Join(methods, " or ")})
	})
}

// with opens the stack for a request, and limits how long the answer may take.
func (c *Console) with(r *http.Request, answer func(request) error) error {
	limit := patience
	if strings.HasSuffix(r.URL.Path, "/doctor") {
		limit = diagnosis
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	defer cancel()
	st, err := c.open(ctx)
	if err != nil {
		return err
	}
	return answer(request{r.WithContext(ctx), st, c.Now()})
}

// page answers with a page.
func (c *Console) page(show func(request) (view, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := c.with(r, func(asked request) error {
			v, err := show(asked)
			if err == nil {
				c.render(w, asked, http.StatusOK, v)
			}
			return err
		})
		if err != nil {
			c.fail(w, r, err)
		}
	})
}

// document answers with JSON.
func (c *Console) document(answer func(request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := c.with(r, func(asked request) error {
			d, err := answer(asked)
			if err == nil {
				writeJSON(w, http.StatusOK, d)
			}
			return err
		})
		if err != nil {
			c.fail(w, r, err)
		}
	})
}

// action carries out an action and answers with JSON. Each is logged, with its outcome.
func (c *Console) action(act func(request) (any, error)) http.Handler {
	return c.permitted(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, longestBody)
		err := c.with(r, func(asked request) error {
			d, err := act(asked)
			if err == nil {
				c.Log.Info("done", "action", r.URL.Path, "answer", d)
				writeJSON(w, http.StatusOK, d)
			}
			return err
		})
		if err != nil {
			c.Log.Warn("not done", "action", r.URL.Path, "reason", c.trouble(err).Reason)
			c.fail(w, r, err)
		}
	}))
}

// problem holds the document of an error.
type problem struct {
	Error struct {
		Field  string `json:"field,omitempty"`
		Reason string `json:"reason"`
		Fix    string `json:"fix,omitempty"`
	} `json:"error"`
}

// fail answers with an error: as JSON below /api, else as a page.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	if to := (*moved)(nil); errors.As(err, &to) {
		http.Redirect(w, r, to.to, http.StatusSeeOther)
		return
	}
	t := c.trouble(err)
	if t.Status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		c.render(w, request{Request: r, stack: c.opened(), now: c.Now()}, t.Status, view{"trouble", http.StatusText(t.Status), t})
		return
	}
	var p problem
	p.Error.Reason, p.Error.Fix = t.Reason, t.Fix
	if bad := (*fieldError)(nil); errors.As(err, &bad) {
		p.Error.Field, p.Error.Reason = bad.field, bad.reason
	}
	writeJSON(w, t.Status, p)
}

// opened returns the stack if it was found before.
func (c *Console) opened() *Stack {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stack
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(v) //nolint:errchkjson // the documents can be encoded, and the browser may be gone
}

// trouble says what an error means.
func (c *Console) trouble(err error) Trouble {
	var missing *inspect.NotFoundError
	var unsearched *unsearchedError
	var alive *inspect.NotDeadError
	var place *inspect.PlaceError
	var field *fieldError
	var refused *refusal
	switch {
	case errors.As(err, &missing):
		return Trouble{Status: http.StatusNotFound, Reason: sentence(err.Error())}
	case errors.As(err, &unsearched):
		return Trouble{Status: http.StatusNotFound, Reason: sentence(unsearched.Error())}
	case errors.As(err, &alive):
		return Trouble{Status: http.StatusConflict, Reason: sentence(alive.Error())}
	case errors.As(err, &place):
		return Trouble{Status: http.StatusBadRequest, Reason: sentence("after: " + place.Error())}
	case errors.As(err, &field):
		return Trouble{Status: http.StatusBadRequest, Reason: sentence(field.Error())}
	case errors.As(err, &refused):
		return Trouble{Status: refused.status, Reason: sentence(refused.reason)}
	}
	return c.Explain(err)
}

// sentence returns a text that begins with a capital letter and ends with a full stop.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.HasSuffix(text, ".") {
		text += "."
	}
	return text
}
