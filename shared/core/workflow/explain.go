package workflow

// Explanation says what a run would do with one plugin, and why.
type Explanation struct {
	Plugin    string `json:"plugin"`
	Activity  string `json:"activity"`
	Stage     string `json:"stage"`
	Mandatory bool   `json:"mandatory"`
	Order     int    `json:"order"`
	Matches   bool   `json:"matches"`
	Reason    string `json:"reason"`
}

// Explain returns what the run would do with each plugin, in the order of a run.
func (s Subject) Explain() ([]Explanation, error) {
	out := []Explanation{}
	for _, at := range s.Places() {
		plan, err := s.Plan(at)
		if err != nil {
			return nil, err
		}
		for _, t := range plan.Turns {
			reason := t.Reason
			switch {
			case t.Kept:
				reason = "it was Complete in the last run"
			case t.Matches && s.Composition.Plugins[t.Plugin].In(plan.Activity).Filter == nil:
				reason = "it has no filter"
			case t.Matches:
				reason = "its filter matches"
			}
			out = append(out, Explanation{t.Plugin, plan.Activity, at.Stage.String(), t.Mandatory, t.Order, t.Matches, reason})
		}
	}
	return out, nil
}
