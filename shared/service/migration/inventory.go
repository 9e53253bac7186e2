package migration

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/drover-run/drover/shared/core/labourer"
	"github.com/drover-run/drover/shared/core/sosw"
	"github.com/drover-run/drover/shared/core/task"
)

// Inventory reads all rows of sosw's tables and keeps them without their payloads.
func (s Service) Inventory(ctx context.Context) (sosw.Inventory, error) {
	out := sosw.Inventory{Rows: map[sosw.Key]sosw.Row{}}
	for r, err := range s.Source.Rows(ctx) {
		if err != nil {
			return out, err
		}
		r.Payload = nil
		out.Rows[r.Key] = r
	}
	out.At = s.Now()
	return out, nil
}

// StillRunning returns those of these rows that may still run.
func (s Service) StillRunning(ctx context.Context, about sosw.Selection, keys []sosw.Key) ([]sosw.Key, error) {
	rows, err := s.Source.Load(ctx, keys)
	if err != nil {
		return nil, err
	}
	return about.Running(sosw.Inventory{At: s.Now(), Rows: rows}), nil
}

// passes limits how often a run looks for rows that a live sosw has written meanwhile.
const passes = 5

// Run moves labourers one after the other, and then again what a live sosw has written meanwhile. It reconciles the first inventory with a last
// one. told is called with the number of a labourer's tasks that are moved, and how many there are.
func (s Service) Run(ctx context.Context, labourers map[string]labourer.Labourer, about sosw.Selection, first sosw.Inventory, told func(labourer string, n, of int),
) (sosw.Report, error) {
	moved, dead, last := map[sosw.Key]sosw.State{}, 0, first
	for range passes {
		worked := false
		for _, id := range slices.Sorted(maps.Keys(about.Labourers)) {
			restored, err := s.finishUndo(ctx, id, about.Marked(last, id))
			if err != nil {
				return sosw.Report{}, fmt.Errorf("finishing an undo of labourer %s, %w", id, err)
			}
			rows := about.Movable(last, id)
			out, err := s.Move(ctx, labourers[id], about.Labourers[id], rows, func(n int) { told(id, n, len(rows)) })
			if err != nil {
				return sosw.Report{}, fmt.Errorf("moving labourer %s, %w", id, err)
			}
			maps.Copy(moved, out.Tasks)
			dead += out.Dead
			worked = worked || restored > 0 || len(rows) > 0
		}
		var err error
		if last, err = s.Inventory(ctx); err != nil {
			return sosw.Report{}, err
		}
		if !worked {
			break
		}
	}
	archived, err := s.Source.Ended(ctx, sosw.Gone(first, last, moved))
	if err != nil {
		return sosw.Report{}, err
	}
	report := about.Reconcile(first, last, moved, archived)
	report.Dead = dead
	return report, nil
}

// finishUndo gives back marked rows whose tasks an undo has withdrawn: it was interrupted before it restored them. It returns how many.
func (s Service) finishUndo(ctx context.Context, labourer string, marked []sosw.Row) (int, error) {
	if len(marked) == 0 {
		return 0, nil
	}
	if err := s.finishWithdrawn(ctx, labourer); err != nil {
		return 0, err
	}
	restored := 0
	const most = 1000
	for some := range slices.Chunk(marked, most) {
		rows, ids := map[task.ID]sosw.Row{}, []task.ID{}
		for _, r := range some {
			if id, err := task.ParseID(r.MovedTo); err == nil {
				rows[id], ids = r, append(ids, id)
			}
		}
		heads, err := s.Tasks.Heads(ctx, ids)
		if err != nil {
			return restored, err
		}
		for id, head := range heads {
			if head.Status != task.Cancelled {
				continue
			}
			is, err := s.Source.Restore(ctx, rows[id].Key, rows[id].Was, id)
			if err != nil {
				return restored, err
			}
			if is {
				restored++
			}
		}
	}
	return restored, nil
}
