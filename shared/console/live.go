package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/drover-run/drover/shared/inspect"
)

const (
	// Turn separates two readings of the stack while a tab is visible.
	Turn = 5 * time.Second
	// hurry separates the first turns of a stack that has more labourers than one turn reads.
	hurry = time.Second
	// exactJobs limits how many open jobs have their tasks counted one by one in a turn, each by at most two requests.
	exactJobs = 20
	// deathsAge says after how long the last deaths are read again.
	deathsAge = time.Minute
	// deathsShown limits how many of the last deaths an overview groups.
	deathsShown = 50
	// ReadsATurn says how many requests a turn makes at most: four for each labourer, two for each open job, and a few for lists and for deaths.
	ReadsATurn = 4*beatsATurn + 2*exactJobs + 50
	// ReadsAPage says how many requests a page makes at most, without the archive: lists look at up to 1,000 jobs, a hundred at a time.
	ReadsAPage = 60
	// ratesOver says over how long the throughput of a job is measured.
	ratesOver = 5 * time.Minute
)

// live reads the stack turn by turn while tabs listen, and tells them what it read. An overview is rendered from what the last turn read.
type live struct {
	c   *Console
	ctx context.Context // of the console: a turn outlives the request that needs it

	turning  sync.Mutex // held during a turn
	herd     *herd
	watcher  *inspect.Watcher
	shot     shot
	deathsAt time.Time
	recalled bool                // the herd has asked CloudWatch for the last hour
	pace     map[string][]passed // by job

	mu        sync.Mutex
	listeners map[chan event]bool
	wake      chan struct{}
}

// shot holds what a turn read.
type shot struct {
	at     time.Time
	jobs   []inspect.Job
	deaths inspect.Window[inspect.Sighting]
	unread bool
}

// passed says how many tasks of a job had ended at a time.
type passed struct {
	at    time.Time
	ended int
}

// event is a message to the tabs.
type event struct {
	name string // "": what was read
	data []byte
}

// stamps matches the times at which labourers were read.
var stamps = regexp.MustCompile(`"at":"[^"]*",`)

func newLive(ctx context.Context, c *Console) *live {
	return &live{c: c, ctx: ctx, listeners: map[chan event]bool{}, pace: map[string][]passed{}}
}

// look calls a function with what was read within the last turn, and reads it before if it is older.
func (l *live) look(ctx context.Context, st *Stack, use func(*herd, shot)) error {
	l.turning.Lock()
	defer l.turning.Unlock()
	now := l.c.Now()
	if age := now.Sub(l.shot.at); l.shot.at.IsZero() || age >= Turn || l.shot.unread && age >= hurry {
		if err := l.turn(ctx, st, now); err != nil {
			return err
		}
	}
	use(l.herd, l.shot)
	return nil
}

// turn reads the stack once.
func (l *live) turn(ctx context.Context, st *Stack, now time.Time) (err error) {
	if l.herd == nil {
		l.herd = &herd{pulse: st.Reader.Pulse(), members: map[string]*member{}}
	}
	if l.watcher == nil {
		if l.watcher, err = st.Reader.Watch(ctx); err != nil {
			return err
		}
	}
	s := shot{at: now, deaths: l.shot.deaths}
	if s.jobs, err = l.watcher.Jobs(ctx, exactJobs); err != nil {
		return err
	}
	atWork := map[string]bool{}
	for _, j := range s.jobs {
		atWork[j.Labourer] = atWork[j.Labourer] || !j.Finished()
	}
	if s.unread, err = l.herd.turn(ctx, atWork, now); err != nil {
		return err
	}
	if l.deathsAt.IsZero() || now.Sub(l.deathsAt) >= deathsAge {
		if s.deaths, err = st.Reader.TaskWindow(ctx, inspect.Selection{Status: inspect.Dead}, "", deathsShown); err != nil {
			return err
		}
		l.deathsAt = now
	}
	if l.shot.at.IsZero() && !l.recalled {
		l.recalled = true
		l.herd.recall(ctx, st, now)
	}
	l.shot = s
	l.note(s)
	return nil
}

// note remembers how many tasks of each open job have ended.
func (l *live) note(s shot) {
	pace := map[string][]passed{}
	for _, j := range s.jobs {
		if j.Finished() {
			continue
		}
		was := l.pace[j.JobID]
		for len(was) > 2 && s.at.Sub(was[1].at) > ratesOver {
			was = was[1:]
		}
		pace[j.JobID] = append(was, passed{s.at, j.Total - j.Open})
	}
	l.pace = pace
}

// forget makes the next turn read a labourer again, and come at once: something was changed. "" stands for no labourer.
func (l *live) forget(labourer string) {
	l.turning.Lock()
	l.shot.at, l.deathsAt = time.Time{}, time.Time{}
	if l.herd != nil && l.herd.members[labourer] != nil {
		l.herd.members[labourer].at = time.Time{}
	}
	l.turning.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nudge()
}

// nudge makes the loop take its next turn now, if it runs.
func (l *live) nudge() {
	if l.wake == nil {
		return
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// samplesOf returns what turns have read of a labourer.
func (l *live) samplesOf(labourer string) []sample {
	l.turning.Lock()
	defer l.turning.Unlock()
	if l.herd == nil || l.herd.members[labourer] == nil {
		return nil
	}
	return slices.Clone(l.herd.members[labourer].samples)
}

// rate returns how many tasks of a job end in a second, and when the last one will have ended at this rate; zero: that is not known.
func (l *live) rate(j inspect.Job, now time.Time) (rate float64, end time.Time) {
	l.turning.Lock()
	defer l.turning.Unlock()
	return rateOf(l.pace[j.JobID], j, now)
}

func rateOf(pace []passed, j inspect.Job, now time.Time) (rate float64, end time.Time) {
	from := passed{j.SubmittedAt, 0}
	if len(pace) > 1 && pace[len(pace)-1].at.Sub(pace[0].at) > Turn {
		from = pace[0]
	}
	if j.Finished() {
		if j.FinishedAt == nil {
			return 0, end
		}
		from, now = passed{j.SubmittedAt, 0}, *j.FinishedAt
	}
	span := now.Sub(from.at).Seconds()
	if span <= 0 {
		return 0, end
	}
	rate = float64(j.Total-j.Open-from.ended) / span
	if rate > 0 && j.Open > 0 {
		end = now.Add(time.Duration(float64(j.Open) / rate * float64(time.Second)))
	}
	return rate, end
}

// ServeHTTP streams what each turn reads. The loop runs while at least one tab listens.
func (l *live) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	stream := http.NewResponseController(w)
	heard := l.listen()
	defer l.leave(heard)
	fmt.Fprint(w, "retry: 3000\n\n")
	for {
		if stream.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-l.ctx.Done():
			return
		case e := <-heard:
			if e.name != "" {
				fmt.Fprintf(w, "event: %s\n", e.name)
			}
			fmt.Fprintf(w, "data: %s\n\n", e.data)
		}
	}
}

func (l *live) listen() chan event {
	l.mu.Lock()
	defer l.mu.Unlock()
	heard := make(chan event, 4)
	l.listeners[heard] = true
	if l.wake == nil {
		l.wake = make(chan struct{}, 1)
		go l.loop(l.wake)
	} else {
		l.nudge() // a new tab hears at once how things are
	}
	return heard
}

func (l *live) leave(heard chan event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.listeners, heard)
}

// loop takes turns until no tab listens. A turn in which nothing but the time has changed is told as a tick.
func (l *live) loop(wake <-chan struct{}) {
	var told []byte
	for {
		l.mu.Lock()
		if len(l.listeners) == 0 || l.ctx.Err() != nil {
			l.wake = nil
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		e, pause := l.read()
		now := stamps.ReplaceAll(e.data, nil)
		if e.name == "" && bytes.Equal(now, told) {
			e = event{"tick", []byte("{}")}
		} else if e.name == "" {
			told = now
		}
		l.tell(e)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-wake:
			told = nil
		case <-l.ctx.Done():
		}
		timer.Stop()
	}
}

// tell sends an event to all tabs. A tab that does not keep up misses some.
func (l *live) tell(e event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for heard := range l.listeners {
		select {
		case heard <- e:
		default:
		}
	}
}

// read returns what the tabs are told of a turn: a document like a line of `drover --json watch`.
func (l *live) read() (event, time.Duration) {
	ctx, cancel := context.WithTimeout(l.ctx, patience)
	defer cancel()
	document := struct {
		Labourers []inspect.Labourer `json:"labourers"`
		Jobs      []inspect.Job      `json:"jobs"`
	}{[]inspect.Labourer{}, []inspect.Job{}}
	pause := Turn
	st, err := l.c.open(ctx)
	if err == nil {
		err = l.look(ctx, st, func(h *herd, s shot) {
			for _, r := range h.rows("", "name", s.at) {
				if r.Heed != unknown {
					document.Labourers = append(document.Labourers, r.Labourer)
				}
			}
			document.Jobs = append(document.Jobs, s.jobs...)
			if s.unread {
				pause = hurry
			}
		})
	}
	if err != nil {
		return event{"trouble", encoded(l.c.trouble(err))}, pause
	}
	return event{"", encoded(document)}, pause
}

// encoded returns a document as JSON.
func encoded(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic("console: a document of texts and numbers does not marshal: " + err.Error())
	}
	return data
}
