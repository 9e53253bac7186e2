package bench

import (
	"math/rand/v2"
	"sync"
	"time"
)

// shape is a way in which the tasks of a labourer come to their ends. Both systems run it, from the event that submits the job to the record that is
// kept of each task. The numbers of tasks are small, so that the benchmark ends in time: a larger job costs a task of Drover less, and a task of sosw
// more, because sosw reads the whole queue for each task that it creates.
type shape struct {
	name   string
	id     string // of its labourers
	limit  int    // the cap
	tasks  int
	takes  time.Duration // how long a task runs
	evenly bool          // all run equally long; otherwise half of it to half more
}

var shapes = []shape{
	{name: "cap 1, 1 s", id: "cap1", limit: 1, tasks: 60, takes: time.Second},
	{name: "cap 12, 5 s", id: "cap12", limit: 12, tasks: 144, takes: 5 * time.Second},
	{name: "cap 100, 30 s", id: "cap100long", limit: 100, tasks: 300, takes: 30 * time.Second},
	{name: "cap 100, 1 s", id: "cap100", limit: 100, tasks: 400, takes: time.Second},
	{name: "cap 256, lockstep of 1 s", id: "lockstep", limit: 256, tasks: 512, takes: time.Second, evenly: true},
}

// instant measures how long a job takes whose tasks take no time.
var instant = shape{name: "instant", id: "instant", limit: 50, tasks: 1000, evenly: true}

// durations returns a function that draws how long the next task runs. Workers may call it at the same time.
func (s shape) durations() func() time.Duration {
	dice := rand.New(rand.NewPCG(3, 4)) // the same durations in each run, though not for the same tasks
	var mu sync.Mutex
	return func() time.Duration {
		if s.evenly {
			return s.takes
		}
		mu.Lock()
		defer mu.Unlock()
		return time.Duration(float64(s.takes) * (0.5 + dice.Float64()))
	}
}

// ticked returns the shape with workers that end at once, for a system that looks for ends only once a minute.
func (s shape) ticked() shape {
	s.takes, s.evenly = 0, true
	return s
}
