package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/drover-run/drover/shared/aws/cloudformation"
)

// showChanges shows what a change set does, on standard error: resources of a new stack by their type, others one by one.
func (s *shell) showChanges(set cloudformation.ChangeSet) {
	if set.New {
		counts := map[string]int{}
		for _, c := range set.Changes {
			counts[c.Type]++
		}
		for _, kind := range slices.Sorted(maps.Keys(counts)) {
			s.say("+ %3d %s", counts[kind], plain(kind))
		}
	} else {
		changes := slices.Clone(set.Changes)
		slices.SortFunc(changes, func(a, b cloudformation.Change) int { return cmp.Compare(a.Resource, b.Resource) })
		for _, c := range changes {
			s.say("%s", plain(changed(c)))
		}
	}
	s.say("%s", summary(set.Changes))
	if named := permissions(set.Changes); len(named) > 0 {
		s.say("Permissions change in %s", plain(strings.Join(named, ", ")))
	}
}

// changed returns a line for a change: "~ TasksTable (AWS::DynamoDB::Table): SSESpecification".
func changed(c cloudformation.Change) string {
	mark := map[string]string{"Add": "+", "Remove": "-", "Import": "+"}[c.Action]
	what := ""
	if len(c.Properties) > 0 {
		what = ": " + strings.Join(c.Properties, ", ")
	}
	if mark == "" {
		mark = "~"
		switch c.Replacement {
		case "True":
			mark, what = "!", what+" (is replaced by a new one)"
		case "Conditional":
			mark, what = "!", what+" (may be replaced by a new one)"
		}
	}
	return fmt.Sprintf("%s %s (%s)%s", mark, c.Resource, c.Type, what)
}

// summary returns how many resources change and how: "1 added, 2 modified, 1 replaced, 1 removed".
func summary(changes []cloudformation.Change) string {
	counts := map[string]int{}
	for _, c := range changes {
		switch {
		case c.Action == "Add" || c.Action == "Import":
			counts["added"]++
		case c.Action == "Remove":
			counts["removed"]++
		case c.Replacement == "True":
			counts["replaced"]++
		case c.Replacement == "Conditional":
			counts["perhaps replaced"]++
		default:
			counts["modified"]++
		}
	}
	var parts []string
	for _, how := range []string{"added", "modified", "replaced", "perhaps replaced", "removed"} {
		if counts[how] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", counts[how], how))
		}
	}
	return strings.Join(parts, ", ")
}

// permissions returns the names of the resources that give rights, in order.
func permissions(changes []cloudformation.Change) []string {
	var names []string
	for _, c := range changes {
		if strings.HasPrefix(c.Type, "AWS::IAM::") || strings.HasSuffix(c.Type, "Policy") || c.Type == "AWS::Lambda::Permission" || c.Type == "AWS::KMS::Key" {
			names = append(names, c.Resource)
		}
	}
	slices.Sort(names)
	return names
}
