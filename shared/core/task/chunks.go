package task

import "iter"

// ChunkBytes limits the bytes of payloads, results and stats in a chunk of tasks, unless a single task has more.
const ChunkBytes = 4 << 20

// Chunks gathers tasks into chunks of at most [ChunkBytes], in order, so that they fit in a function's memory. It passes on an error alone, after the
// tasks before it.
func Chunks(tasks iter.Seq2[Task, error]) iter.Seq2[[]Task, error] {
	return func(yield func([]Task, error) bool) {
		var chunk []Task
		bytes := 0
		for t, err := range tasks {
			length := len(t.Payload) + len(t.Result) + len(t.Stats)
			if len(chunk) > 0 && (err != nil || bytes+length > ChunkBytes) {
				if !yield(chunk, nil) {
					return
				}
				chunk, bytes = nil, 0
			}
			if err == nil {
				chunk, bytes = append(chunk, t), bytes+length
			} else if !yield(nil, err) {
				return
			}
		}
		if len(chunk) > 0 {
			yield(chunk, nil)
		}
	}
}
