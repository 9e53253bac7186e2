package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/drover-run/drover/shared/core/exact"
)

// Turn says for which part of a workflow's run a task is. It is empty for a task of a job.
type Turn struct {
	// Workflow names the workflow, and UID what its run is for.
	Workflow string
	UID      string
	// Run counts the runs of the same workflow and UID, from 1; RunID names this one everywhere.
	Run   int
	RunID string
	// Activity, Stage ("pre", "parallel" or "post") and Plugin name the place in the workflow.
	Activity string
	Stage    string
	Plugin   string
	// Metadata holds the JSON object with which the run was started.
	Metadata json.RawMessage
	// Results holds what plugins before this one returned. It is nil if ResultsURL is set.
	Results Results
	// ResultsURL names the object in S3 that has the results, s3://bucket/key, if they were too large for the event. [Task.LoadResults] reads it.
	ResultsURL string
}

// Results holds the results of plugins that were Complete before this turn began, by activity and plugin. A plugin that returned nothing has null.
type Results map[string]map[string]json.RawMessage

// Decode stores the result of a plugin in the value that v points to, like json.Unmarshal. It returns false if there is no result: the plugin was
// skipped, it failed as an optional one, or it does not come before this turn. An error is Permanent and has the type "BadInput".
func (r Results) Decode(activity, plugin string, v any) (found bool, err error) {
	result, found := r[activity][plugin]
	if !found {
		return false, nil
	}
	if err := json.Unmarshal(result, v); err != nil {
		return true, Permanent(Errorf("BadInput", "result of plugin %s in activity %s: %w", plugin, activity, err))
	}
	return true, nil
}

// DecodeMetadata stores the run's metadata in the value that v points to, like json.Unmarshal. Its error is Permanent and has the type "BadInput".
func (t Turn) DecodeMetadata(v any) error {
	if err := json.Unmarshal(t.Metadata, v); err != nil {
		return Permanent(Errorf("BadInput", "metadata of run %s: %w", t.RunID, err))
	}
	return nil
}

// Objects has the S3 call that [Turn.LoadResults] needs. *s3.Client implements it.
type Objects interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

var _ Objects = (*s3.Client)(nil)

// LoadResults returns the results of the plugins before this one, from the event or, if they were too large for it, from S3. The worker needs
// s3:GetObject on runs/* in the stack's archive bucket for that. An error may pass, so the task is retried.
func (t Turn) LoadResults(ctx context.Context, objects Objects) (Results, error) {
	if t.ResultsURL == "" {
		return t.Results, nil
	}
	bucket, key, found := strings.Cut(strings.TrimPrefix(t.ResultsURL, "s3://"), "/")
	if !found || !strings.HasPrefix(t.ResultsURL, "s3://") {
		return nil, Permanent(Errorf("BadInput", "results_url is %q; want s3://bucket/key", t.ResultsURL))
	}
	object, err := objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err != nil {
		return nil, fmt.Errorf("reading the results at %s: %w", t.ResultsURL, err)
	}
	defer func() { _ = object.Body.Close() }() // it is only read, so a failed close loses nothing
	text, err := io.ReadAll(object.Body)
	if err != nil {
		return nil, fmt.Errorf("reading the results at %s: %w", t.ResultsURL, err)
	}
	var results Results
	if err := json.Unmarshal(text, &results); err != nil {
		return nil, fmt.Errorf("reading the results at %s: %w", t.ResultsURL, err)
	}
	return results, nil
}

// Plugins returns a function that runs the turns of several plugins, so that one program can be the target of all of them. The functions are named
// for their plugins; the one named "" runs the tasks of jobs. A plugin that is not among them fails permanently, with the type "UnknownPlugin".
func Plugins(functions map[string]Func) Func {
	functions = maps.Clone(functions)
	known := maps.Clone(functions)
	delete(known, "")
	return func(ctx context.Context, task Task) (any, error) {
		if function := functions[task.Plugin]; function != nil {
			return function(ctx, task)
		}
		what := fmt.Sprintf("plugin %q", task.Plugin)
		if task.Plugin == "" {
			what = "a task of a job, which has no plugin"
		}
		return nil, Permanent(Errorf("UnknownPlugin", "%s: this worker runs the plugins %s", what, strings.Join(slices.Sorted(maps.Keys(known)), ", ")))
	}
}

// turnOf reads a turn from the attributes of an event. A turn's task belongs to the job of its run's id. So a job whose payload has the same names
// stays a job.
func turnOf(payload json.RawMessage, jobID string) Turn {
	var read struct {
		UID        string          `json:"uid"`
		Workflow   string          `json:"workflow"`
		Run        int             `json:"run"`
		RunID      string          `json:"run_id"`
		Activity   string          `json:"activity"`
		Stage      string          `json:"stage"`
		Plugin     string          `json:"plugin"`
		Metadata   json.RawMessage `json:"metadata"`
		Results    Results         `json:"results"`
		ResultsURL string          `json:"results_url"`
	}
	if exact.Decode(payload, &read) != nil || read.RunID != jobID || read.Plugin == "" {
		return Turn{}
	}
	return Turn{Workflow: read.Workflow, UID: read.UID, Run: read.Run, RunID: read.RunID, Activity: read.Activity, Stage: read.Stage, Plugin: read.Plugin,
		Metadata: read.Metadata, Results: read.Results, ResultsURL: read.ResultsURL}
}
