package sim

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	"github.com/drover-run/drover/shared/aws/dynamo"
	"github.com/drover-run/drover/shared/core/ecology"
	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/queue"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// seekers begins the seeds whose worlds have labourers with caps that find themselves, or are pinned.
const seekers = rushes + rushes/2

// lanes begins those of these seeds whose labourers may find caps of thousands, and so spread their leases over lanes.
const lanes = seekers + 1<<30

// aim names the metric that caps are found by.
const aim = "aim"

// planSeekers lets the caps of some labourers find themselves, with more tasks than these allow, and pins caps.
func (p *plan) planSeekers() {
	r := random(p.seed, "seekers")
	for i := range p.labourers {
		l := &p.labourers[i]
		if i > 0 && chance(r, 0.3) {
			continue
		}
		least := 1 + r.IntN(3)
		l.Adaptive = &labourer.Adaptive{Min: least, Max: least + r.IntN(20), Toward: map[string]float64{aim: 60}}
		if p.seed >= lanes {
			l.Adaptive.Max = pick(r, 1001, 2000, 20_000)
		}
		l.MaxSimultaneousInvocations = float64(l.Adaptive.Max)
		metrics := map[string]ecology.Metric{aim: {Operator: ecology.AtMost, Query: ecology.Query{Namespace: "sim", MetricName: aim, Statistic: "Average", Period: time.Minute,
			Dimensions: []ecology.Dimension{{Name: "labourer", Value: l.ID}}}}}
		maps.Copy(metrics, l.HealthMetrics)
		l.HealthMetrics = metrics
	}
	for i := range p.jobs {
		if p.jobs[i].tasks > 0 && p.jobs[i].tasks < 15 {
			p.jobs[i].tasks += 10 + r.IntN(20)
		}
	}
	for range r.IntN(4) {
		on, at := p.labourers[r.IntN(len(p.labourers))].ID, between(r, 0, p.faulty)
		p.operations = append(p.operations, operation{at: at, kind: "pin", on: on, value: pick(r, 0, 1, 3, 8, 30), text: pick(r, "", "1m", "3m"), fault: Pinned})
		if chance(r, 0.5) {
			p.operations = append(p.operations, operation{at: at + between(r, 0, 2*time.Minute), kind: "unpin", on: on})
		}
	}
}

// setCap sets the configured cap of a labourer, or the highest one of a cap that finds itself.
func setCap(l labourer.Labourer, limit int) labourer.Labourer {
	l.MaxSimultaneousInvocations = float64(limit)
	if l.Adaptive != nil {
		bounds := *l.Adaptive
		bounds.Max = max(limit, 1)
		bounds.Min = min(bounds.Min, bounds.Max)
		l.Adaptive, l.MaxSimultaneousInvocations = &bounds, float64(bounds.Max)
	}
	return l
}

// pin pins the cap of a labourer, as the command line does; nil takes the pin away.
func (r *run) pin(id string, pin *queue.Pin) {
	control := dynamo.Control{API: r.stack.DynamoDB, Table: fakeaws.ControlTable}
	if err := control.SetPin(context.Background(), id, pin); err != nil {
		panic(err)
	}
	r.drover.Put("TasksDue", fmt.Sprintf(`{"id":"pin","version":1,"labourers":[%q]}`, id))
}

func (r *run) pinned(o operation) {
	pin := &queue.Pin{Cap: o.value, At: r.world.Now(), By: "sim"}
	if lasts, err := time.ParseDuration(o.text); err == nil {
		pin.Until = pin.At.Add(lasts)
	}
	r.pin(o.on, pin)
}

// loaded returns the metric that a labourer's cap is found by: a base, something for each task in hand, and noise. false: there is no value.
func (k *checker) loaded(id string, dice *rand.Rand) (float64, bool) {
	inHand := 0
	for _, h := range k.holders {
		if h.kind == "lease" && h.labourer == id {
			inHand += h.inHand.Len()
		}
	}
	each := float64(2 + len(id)*7%5)
	return (10 + each*float64(inHand)) * (0.9 + 0.2*dice.Float64()), !chance(dice, 0.05)
}

// measureAims publishes the metrics that caps are found by.
func (r *run) measureAims(now time.Time) {
	dice := r.random(aim)
	for _, id := range r.check.ids() {
		if r.check.labourers[id].Adaptive == nil {
			continue
		}
		if value, known := r.check.loaded(id, dice); known {
			r.stack.CloudWatch.Put("sim", aim, map[string]string{"labourer": id}, now, value)
		}
	}
}

// capNoted holds a cap that was found, from a step on.
type capNoted struct {
	step, cap  int
	remembered bool // the next assessment begins with it; otherwise an execution has found it
}

// watchCap notes the caps that are found, and pins.
func (k *checker) watchCap(seen *labourerSeen, kind string, after fakeaws.Item) {
	switch kind {
	case "state":
		seen.pin = nil
		if text := str(after, "pin"); text != "" {
			seen.pin = &queue.Pin{}
			if err := json.Unmarshal([]byte(text), seen.pin); err != nil {
				panic(err)
			}
		}
	case "assessment":
		var remembered struct {
			Cap struct {
				Cap int `json:"cap"`
			} `json:"cap"`
		}
		_ = json.Unmarshal([]byte(str(after, "remembered")), &remembered)
		seen.found = append(seen.found, capNoted{k.step, remembered.Cap.Cap, true})
	case "adapted":
		var noted struct {
			To     int    `json:"to"`
			Metric string `json:"metric"`
		}
		_ = json.Unmarshal([]byte(str(after, "noted")), &noted)
		if noted.Metric != "" {
			k.reach("cap found")
			seen.found = append(seen.found, capNoted{k.step, noted.To, false})
		}
	}
}

// pinsCap returns the cap of a pin that was or may have been in force for an invocation, and reports whether it was for all of its time. A claim is fenced
// by the labourer's version, which a pin raises, so only the present pin counts.
func (l *labourerSeen) pinsCap(c *call) (limit int, may, must bool) {
	if l.pin == nil {
		return 0, false, false
	}
	return l.pin.Cap, l.pin.Holds(c.start), l.pin.Holds(c.now())
}

// foundCap returns the highest cap that a claim may have found: what was remembered when its invocation began, and what was found since.
func (l *labourerSeen) foundCap(c *call) int {
	allowed := l.Adaptive.Min // none was found yet
	for i, one := range l.found {
		last := true
		for _, later := range l.found[i+1:] {
			last = last && !(later.remembered && later.step < c.began)
		}
		if one.step >= c.began || one.remembered && last {
			allowed = max(allowed, one.cap)
		}
	}
	return allowed
}

// atMost returns the highest cap that a claim may have seen.
func (k *checker) atMost(l *labourerSeen, c *call) int {
	limit, may, must := l.pinsCap(c)
	if must {
		k.reach("claim under a pin")
		return limit
	}
	allowed := 0
	for i, one := range l.caps { // the caps in force since the invocation began
		if i+1 == len(l.caps) || l.caps[i+1].step >= c.began {
			allowed = max(allowed, one.cap)
		}
	}
	if l.Adaptive != nil {
		allowed = min(allowed, l.foundCap(c))
		k.reach("claim under a cap that was found")
	}
	if may {
		allowed = max(allowed, limit)
	}
	return allowed
}
