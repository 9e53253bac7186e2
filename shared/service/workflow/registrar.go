package workflow

import (
	"context"

	flow "github.com/drover-run/drover/shared/core/workflow"
)

// Parts stores what owners have applied.
type Parts interface {
	// Definitions returns everything that is applied, strongly consistent.
	Definitions(ctx context.Context) (flow.Definitions, error)
}

// Versions stores the versions of workflows.
type Versions interface {
	// Head returns the newest version of a workflow, 0 for none, its fingerprint, and whether the workflow was removed.
	Head(ctx context.Context, name string) (version int, fingerprint string, removed bool, err error)
	// Add stores the next version. ErrChanged: there is another one.
	Add(ctx context.Context, c flow.Composition) error
	// Remove lets no further run begin. ErrChanged: there is another version.
	Remove(ctx context.Context, name string, version int) error
}

// Registrar makes versions of workflows from what owners have applied.
type Registrar struct {
	Parts    Parts
	Versions Versions
}

// Compile makes a version of each of these workflows whose definition has changed, and removes those that are not defined any more. It may be
// called at any time: without a change it writes nothing.
//
// Several owners may apply at the same time. Each reads the newest version before the parts. So a version that is added over the one that was
// read has every part that was applied before that, and of two owners that add one at the same time the later one reads again.
func (r Registrar) Compile(ctx context.Context, names []string) error {
	for _, name := range names {
		if err := again("compiling workflow "+name, func() error { return r.compile(ctx, name) }); err != nil {
			return err
		}
	}
	return nil
}

func (r Registrar) compile(ctx context.Context, name string) error {
	version, fingerprint, removed, err := r.Versions.Head(ctx, name)
	if err != nil {
		return err
	}
	parts, err := r.Parts.Definitions(ctx)
	if err != nil {
		return err
	}
	c, defined := flow.Compose(parts, name)
	switch {
	case !defined && (version == 0 || removed):
		return nil
	case !defined:
		return r.Versions.Remove(ctx, name, version)
	case !removed && c.Fingerprint() == fingerprint:
		return nil
	}
	c.Version = version + 1
	return r.Versions.Add(ctx, c)
}
