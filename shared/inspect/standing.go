package inspect

import (
	"context"

	"github.com/drover-run/drover/shared/core/segment"
)

// Standing counts the open tasks of a job by their status: queued, waiting, running. It reads the leases and the queue of the job's labourer, and no
// task. It returns a [NotFoundError] for an unknown job.
func (r *Reader) Standing(ctx context.Context, job string) (map[Status]int, error) {
	record, found, err := r.Jobs.Get(ctx, job)
	if err == nil && !found {
		err = NoJob(job)
	}
	if err != nil {
		return nil, err
	}
	c := &census{Reader: r, places: map[string]snapshot{}}
	places, err := c.placesOf(ctx, record.Labourer)
	if err != nil {
		return nil, err
	}
	out := map[Status]int{}
	for _, p := range published(record) {
		mine := p.numbers
		count := func(status Status, numbers segment.Numbers) {
			numbers = numbers.Intersect(mine)
			mine = mine.Minus(numbers)
			out[status] += numbers.Len()
		}
		for _, l := range places.leases[p.segment] {
			count(Running, l.InHand())
			for n, again := range l.Retries {
				if again.Due.After(places.at) {
					count(Waiting, segment.Of(n))
				}
			}
			count(Queued, l.Held())
		}
		for _, e := range places.entries[p.segment] {
			if e.Attempt > 1 && e.Due.After(places.at) {
				count(Waiting, e.Tasks)
			} else {
				count(Queued, e.Tasks)
			}
		}
	}
	return out, nil
}
