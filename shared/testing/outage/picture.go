package outage

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	buckets "github.com/drover-run/drover/shared/aws/s3"
	"github.com/drover-run/drover/shared/core/archive"
	"github.com/drover-run/drover/shared/core/segment"
	"github.com/drover-run/drover/shared/testing/fakeaws"
)

// Picture returns everything in a stack that the guarantees cover, as sorted lines of text: each task with the place where it waits or runs, jobs and
// their progress, facts by their ids, archived records and dead letters. It omits times and versions, which depend on the number of retries, and wakes,
// which may be sent at any time and any number of times.
func Picture(s *fakeaws.Stack) string {
	var lines []string
	add := func(format string, args ...any) { lines = append(lines, fmt.Sprintf(format, args...)) }
	for _, it := range s.DynamoDB.Items(fakeaws.TasksTable) {
		add("task %s.%s of %s status=%s attempt=%s life=%s attempts=%t", text(it, "segment"), text(it, "n"), text(it, "job"), text(it, "status"),
			text(it, "attempt"), text(it, "life"), it["attempts"] != nil)
	}
	for _, it := range s.DynamoDB.Items(fakeaws.ControlTable) {
		lines = append(lines, places(it)...)
	}
	for _, it := range s.DynamoDB.Items(fakeaws.JobsTable) {
		switch item := text(it, "item"); {
		case item == "job":
			add("job %s %s of %s total=%s cursor=%s completed=%s dead=%s cancelled=%s generation=%s cancelling=%t error=%s", text(it, "job_id"), text(it, "state"),
				text(it, "labourer"), text(it, "total"), text(it, "cursor"), count(it, "completed"), count(it, "dead"), count(it, "cancelled"), text(it, "generation"),
				it["cancelling"] != nil, text(it, "error_field"))
		case strings.HasPrefix(item, "segment#"):
			const nothing = "dead= cancelled= replayed= rolled="
			others := fmt.Sprintf("dead=%s cancelled=%s replayed=%s rolled=%s", text(it, "dead"), text(it, "cancelled"), text(it, "replayed"), text(it, "rolled"))
			if others != nothing {
				add("progress of %s in %s %s", text(it, "job_id"), item, others)
			}
		}
	}
	lines = append(lines, completed(s)...)
	for _, e := range s.EventBridge.Told() {
		var detail struct{ ID string }
		if err := json.Unmarshal(e.Detail, &detail); err == nil && e.DetailType != "TasksDue" && e.Source == "drover" {
			add("fact %s", detail.ID)
		}
	}
	lines = append(lines, archived(s)...)
	for _, url := range []string{fakeaws.JobsDeadLetters, fakeaws.CompletionsDead, fakeaws.StreamFailures} {
		for _, l := range s.SQS.Letters(url) {
			add("dead letter %s: %s", l.Reason, l.Body)
		}
	}
	slices.Sort(lines)
	// A fact, an archived record or a dead letter may exist twice. A task must not be in two places.
	lines = slices.CompactFunc(lines, func(a, b string) bool {
		return a == b && (strings.HasPrefix(a, "fact ") || strings.HasPrefix(a, "archived ") || strings.HasPrefix(a, "dead letter "))
	})
	return strings.Join(lines, "\n")
}

// places returns the places of the tasks of an entry, a lease or an aside. A task that is in two places has two lines.
func places(it fakeaws.Item) []string {
	var out []string
	parts := strings.Split(text(it, "item"), "#")
	if text(it, "item") == "lease#!lanes" { // it says how many lanes there are
		return nil
	}
	numbers, err := segment.ParseNumbers(text(it, "tasks"))
	if err != nil {
		return []string{"unreadable tasks: " + err.Error()}
	}
	var where string
	switch parts[0] {
	case "queue":
		where = fmt.Sprintf("%s.%%d is queued for attempt %s", parts[2], text(it, "attempt"))
	case "cancel":
		where = fmt.Sprintf("%s.%%d is withdrawn", parts[2])
	case "lease":
		labourer, _, _ := strings.Cut(text(it, "labourer"), "#lane#")
		for n, attempt := range retriesIn(it) {
			out = append(out, fmt.Sprintf("%s: %s.%d waits for attempt %s", labourer, parts[1], n, attempt))
			numbers = numbers.Minus(segment.Of(n))
		}
		where = fmt.Sprintf("%s.%%d is held for attempt %s", parts[1], parts[2])
		if numbers = numbers.Intersect(heldIn(it)); numbers.Empty() && len(out) == 0 {
			return []string{"lease " + text(it, "item") + " holds nothing"}
		}
	default:
		return nil
	}
	for n := range numbers.All() {
		labourer, _, _ := strings.Cut(text(it, "labourer"), "#lane#")
		out = append(out, labourer+": "+fmt.Sprintf(where, n))
	}
	return out
}

// retriesIn returns the next attempts at the tasks that wait for them in a lease.
func retriesIn(lease fakeaws.Item) map[int]string {
	out := map[int]string{}
	for again := range strings.SplitSeq(text(lease, "retries"), ",") {
		if fields := strings.Split(again, "."); len(fields) == 3 {
			n, _ := segment.ParseNumbers(fields[0])
			out[n.Min()] = fields[2]
		}
	}
	return out
}

// heldIn returns the tasks that a lease has in hand, and those that wait in it.
func heldIn(lease fakeaws.Item) segment.Numbers {
	held, _ := segment.ParseNumbers(text(lease, "waiting"))
	if hands, is := lease["hands"].(*types.AttributeValueMemberM); is {
		for name := range hands.Value {
			one, _ := segment.ParseNumbers(name)
			held = held.Union(one)
		}
	}
	for n := range retriesIn(lease) {
		held = held.Union(segment.Of(n))
	}
	return held
}

// completed returns the tasks that were completed, by job and segment: those that the jobs' progress names, and those that leases know of.
func completed(s *fakeaws.Stack) (lines []string) {
	all := map[string]segment.Numbers{}
	for _, it := range s.DynamoDB.Items(fakeaws.JobsTable) {
		entered, is := it["completed"].(*types.AttributeValueMemberNS)
		if at, found := strings.CutPrefix(text(it, "item"), "segment#"); found && is {
			for _, n := range entered.Value {
				one, _ := segment.ParseNumbers(n)
				key := text(it, "job_id") + " in " + at
				all[key] = all[key].Union(one)
			}
		}
	}
	for _, it := range s.DynamoDB.Items(fakeaws.ControlTable) {
		if parts := strings.Split(text(it, "item"), "#"); parts[0] == "lease" && text(it, "job") != "" {
			tasks, _ := segment.ParseNumbers(text(it, "tasks"))
			key := text(it, "job") + " in " + parts[1]
			all[key] = all[key].Union(tasks.Minus(heldIn(it)))
		}
	}
	for key, numbers := range all {
		if !numbers.Empty() {
			lines = append(lines, fmt.Sprintf("completed of %s: %s", key, numbers))
		}
	}
	return lines
}

func archived(s *fakeaws.Stack) []string {
	bucket := buckets.Bucket{API: s.S3, Name: fakeaws.ArchiveBucket}
	keys, err := bucket.List(context.Background(), "")
	if err != nil {
		return []string{"the archive cannot be listed: " + err.Error()}
	}
	var out []string
	for _, key := range keys {
		body, err := bucket.Get(context.Background(), key)
		if err != nil {
			return []string{err.Error()}
		}
		records, err := archive.Read(body)
		if err != nil {
			return []string{err.Error()}
		}
		for _, r := range records {
			out = append(out, fmt.Sprintf("archived %s of %s %s life=%d attempt=%d", r.TaskID, r.Labourer, r.Status, r.Life, r.Attempt))
		}
	}
	return out
}

// text returns an attribute as text, or "" if it is missing. Sets are sorted.
func text(it fakeaws.Item, name string) string {
	switch v := it[name].(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return v.Value
	case *types.AttributeValueMemberNS:
		numbers := make([]int, len(v.Value))
		for i, n := range v.Value {
			numbers[i], _ = strconv.Atoi(n)
		}
		slices.Sort(numbers)
		return fmt.Sprint(numbers)
	}
	return ""
}

// count returns a count as text. A missing count is 0.
func count(it fakeaws.Item, name string) string {
	if n := text(it, name); n != "" {
		return n
	}
	return "0"
}
