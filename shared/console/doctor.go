package console

import (
	"slices"
	"time"
)

// checked is a result of the doctor.
type checked struct {
	At     time.Time
	Checks []Check
	Wrong  int
}

// examine runs the doctor, and keeps what it says for the overview.
func (c *Console) examine(r request) (*checked, error) {
	checks, err := r.stack.Doctor(r.Context())
	if err != nil {
		return nil, err
	}
	found := &checked{At: r.now, Checks: checks}
	for _, one := range checks {
		found.Wrong += boolean(!one.OK)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked = found
	return found, nil
}

// doctor shows what the doctor found last, and runs it on demand: it makes several requests for each labourer.
func (c *Console) doctor(r request) (view, error) {
	q := queryOf(r, "run")
	if q.err != nil {
		return view{}, q.err
	}
	c.mu.Lock()
	last := c.checked
	c.mu.Unlock()
	if q.text("run") != "" {
		if _, err := c.examine(r); err != nil {
			return view{}, err
		}
		return view{}, &moved{"/doctor"}
	}
	if last == nil {
		return view{"doctor", "Doctor", (*checked)(nil)}, nil
	}
	shown := *last
	shown.Checks = slices.Clone(last.Checks)
	slices.SortStableFunc(shown.Checks, func(a, b Check) int { return boolean(a.OK) - boolean(b.OK) })
	return view{"doctor", "Doctor", &shown}, nil
}

func (c *Console) doctorDocument(r request) (any, error) {
	if q := queryOf(r); q.err != nil {
		return nil, q.err
	}
	found, err := c.examine(r)
	if err != nil {
		return nil, err
	}
	return struct {
		OK     bool    `json:"ok"`
		Checks []Check `json:"checks"`
	}{found.Wrong == 0, found.Checks}, nil
}
