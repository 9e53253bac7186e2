package task_test

import (
	"errors"
	"iter"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/drover-run/drover/shared/core/task"
)

func TestAChunkHoldsAsManyTasksAsFit(t *testing.T) {
	errOff := errors.New("the table is unavailable")
	sizes := []int{2 << 20, 1 << 20, 1 << 20, 1, 9 << 20, 0, 0, -1, 3, 4} // -1: an error
	tasks := func(yield func(task.Task, error) bool) {
		for n, size := range sizes {
			one, err := task.Task{ID: task.ID{N: n}}, errOff
			if size >= 0 {
				one.Result, err = make([]byte, size), nil
			}
			if !yield(one, err) {
				return
			}
		}
	}
	var got [][]int
	for chunk, err := range task.Chunks(tasks) {
		var numbers []int
		for _, one := range chunk {
			numbers = append(numbers, one.ID.N)
		}
		require.Equal(t, err != nil, chunk == nil)
		got = append(got, numbers)
	}
	require.Equal(t, [][]int{{0, 1, 2}, {3}, {4}, {5, 6}, nil, {8, 9}}, got)

	for most := 1; most < len(got); most++ { // a caller may stop at any chunk
		next, stop := iter.Pull2(task.Chunks(tasks))
		for range most {
			_, _, more := next()
			require.True(t, more)
		}
		stop()
	}
}
