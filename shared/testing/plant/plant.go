// Package plant simulates a database whose load rises with the number of running tasks, and the laws that find a cap for it.
//
//	load = base + per task × running + foreign, at most its saturation
//
// CloudWatch's view of it is late, noisy and has gaps, and running tasks end when they end, whatever the cap says. Time is virtual, and chance comes from
// a seed.
package plant

import (
	"container/heap"
	"math"
	"math/rand/v2"
	"time"
)

// Target tells the laws which load to hold. A plant's load at its target is 60, and it saturates at 100.
const (
	Target     = 60.0
	saturation = 100.0
	period     = 60 // seconds that a value is about
	step       = 5  // seconds of the simulation
)

// Phase is a part of a scenario.
type Phase struct {
	Lasts    time.Duration
	Capacity float64 // of the plant, as a fraction of its own
	Foreign  float64 // load that is not the tasks'
	Demand   float64 // tasks that want to run, as a fraction of those that would bring the load to the target
	Blind    bool    // no values come
}

// Scenario is a run of a plant.
type Scenario struct {
	Name   string
	Phases []Phase
	Shared bool // two labourers use the plant
}

// Law finds the caps of the plant's labourers. It is asked once a minute for each.
type Law interface {
	Cap(Seen) int
}

// Seen holds what a law sees of the plant.
type Seen struct {
	At           time.Duration
	Labourer     int
	Labourers    int
	Running, Due int
	Max          int
	Value        *float64      // the newest value that has arrived, nil without one
	About        time.Duration // the end of the minute that the value is about
	Limit        int           // what an oracle knows: the cap that brings the load to the target just now, for all labourers
}

// Minute records what happened in one minute.
type Minute struct {
	At      time.Duration
	Load    float64 // as it was, not as it was seen
	Cap     int
	Running float64
	Done    float64 // work done: running tasks × minutes, less what saturation costs
	Limit   int
	Phase   int
}

// Run simulates a scenario with a law, and returns its minutes. The seed draws the plant: its size, base load, the tasks' duration, the metric's lag.
func Run(s Scenario, seed uint64, law Law) []Minute {
	r := rand.New(rand.NewPCG(seed, 17))
	p := plant{random: r, law: law, size: 20 + r.IntN(180), base: 5 + 20*r.Float64(), lag: 60 + r.IntN(121)/step*step, typical: 5 * math.Pow(180, r.Float64())}
	p.each = (Target - p.base) / float64(p.size)
	labourers := 1
	if s.Shared {
		labourers = 2
	}
	p.running, p.caps = make([]ends, labourers), make([]int, labourers)
	minutes := []Minute{}
	for number, phase := range s.Phases {
		for range int(phase.Lasts / time.Minute) {
			m := p.minute(phase)
			m.Phase = number
			minutes = append(minutes, m)
		}
	}
	return minutes
}

// plant holds the state of a simulation.
type plant struct {
	random  *rand.Rand
	law     Law
	size    int     // tasks that bring the load to the target
	base    float64 // load without tasks
	each    float64 // load of a task
	lag     int     // seconds until a value arrives
	typical float64 // seconds that a task takes

	second    int
	running   []ends // by labourer
	caps      []int
	published []value
	arrived   *value
}

// minute simulates a minute of a phase.
func (p *plant) minute(phase Phase) Minute {
	m := Minute{At: p.now(), Limit: max(int((Target-p.base-phase.Foreign)/p.each*phase.Capacity), len(p.caps))}
	demand := int(phase.Demand * float64(p.size) / float64(len(p.caps)))
	p.receive()
	p.end()
	p.ask(demand, m.Limit)
	for range period / step {
		p.end()
		total := float64(p.start(demand))
		raw := p.base + p.each/phase.Capacity*total + phase.Foreign
		m.Load += min(raw, saturation) * step / period
		m.Running += total * step / period
		m.Done += total * min(1, saturation/raw) * step / period
		p.second += step
	}
	for _, c := range p.caps {
		m.Cap += c
	}
	noise := 0.9 + 0.2*p.random.Float64()
	if !phase.Blind && p.random.Float64() >= 0.05 {
		p.published = append(p.published, value{load: m.Load * noise, about: p.now(), arrives: p.second + p.lag})
	}
	return m
}

func (p *plant) now() time.Duration { return time.Duration(p.second) * time.Second }

// receive takes the values that have arrived.
func (p *plant) receive() {
	for len(p.published) > 0 && p.published[0].arrives <= p.second {
		p.arrived, p.published = &p.published[0], p.published[1:]
	}
}

// end ends the tasks whose time has come.
func (p *plant) end() {
	for i := range p.running {
		for len(p.running[i]) > 0 && p.running[i][0] <= float64(p.second) {
			heap.Pop(&p.running[i])
		}
	}
}

// ask asks the law for each labourer's cap.
func (p *plant) ask(demand, limit int) {
	most := 3 * p.size / len(p.caps)
	for i, running := range p.running {
		seen := Seen{At: p.now(), Labourer: i, Labourers: len(p.caps), Running: len(running), Due: max(demand-len(running), 0), Max: most, Limit: limit}
		if p.arrived != nil {
			seen.Value, seen.About = &p.arrived.load, p.arrived.about
		}
		p.caps[i] = min(max(p.law.Cap(seen), 1), most)
	}
}

// start starts tasks up to the caps, and returns how many run.
func (p *plant) start(demand int) (total int) {
	for i := range p.running {
		for len(p.running[i]) < min(p.caps[i], demand) {
			heap.Push(&p.running[i], float64(p.second)+p.typical*(0.5+p.random.Float64()))
		}
		total += len(p.running[i])
	}
	return total
}

type value struct {
	load    float64
	about   time.Duration // the end of its minute
	arrives int           // in seconds
}

// ends are the times at which running tasks end, in seconds, the next first.
type ends []float64

func (e ends) Len() int           { return len(e) }
func (e ends) Less(i, j int) bool { return e[i] < e[j] }
func (e ends) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *ends) Push(x any)        { *e = append(*e, x.(float64)) } //nolint:forcetypeassert // only start pushes
func (e *ends) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}
