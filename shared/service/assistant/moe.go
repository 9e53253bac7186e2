package assistant

import (
	"context"
	"encoding/json"

	"github.com/drover-run/drover/shared/core/document"
	"github.com/drover-run/drover/shared/core/moe"
)

// Write is a write in the status table to which plugins of moe's orchestrator tell their states.
type Write struct {
	ID            string // the same each time the stream delivers it
	Named         string // its row and its place in the stream, as a JSON object, for the graveyard
	Before, After moe.Image
}

// Read processes the ends that writes tell of, and returns the ids of the writes to redeliver. What makes no sense in a write is buried with the
// reason; the rest of the write counts.
func (s *Service) Read(ctx context.Context, invocation string, writes []Write) (failed []string, summary Summary) {
	b := newBatch(s, invocation)
	for _, w := range writes {
		ends, faults := moe.Ends(w.Before, w.After)
		for _, f := range faults {
			b.summary.Buried++
			letter := document.Encode(map[string]any{"write": json.RawMessage(w.Named), "record": f.Record})
			if err := s.Graveyard.Bury(ctx, string(letter), f.Reason); err != nil {
				b.fail(err, w.ID)
			}
		}
		by := s.sender(Message{ID: w.ID})
		for _, end := range ends {
			b.add(by, end)
		}
		if len(ends)+len(faults) == 0 {
			b.summary.Ignored++
		}
	}
	b.handle(ctx)
	return b.failed, b.summary
}
