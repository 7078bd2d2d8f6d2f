package fifo

import (
	"math/rand/v2"
	"testing"
)

// A ring that wraps wrongly loses or reorders elements only at some sizes, so
// it is compared with a slice over many random steps.
func TestQueueBehavesLikeASlice(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var q Queue[int]
	var want []int
	for i := range 20_000 {
		switch op := rng.IntN(9); {
		case op < 5:
			q.Push(i)
			want = append(want, i)
		case len(want) > 0:
			if got := q.Pop(); got != want[0] {
				t.Fatalf("step %d: popped %d, want %d", i, got, want[0])
			}
			want = want[1:]
		}
		check(t, &q, want)
	}
}

func check(t *testing.T, q *Queue[int], want []int) {
	t.Helper()
	if q.Len() != len(want) {
		t.Fatalf("length %d, want %d", q.Len(), len(want))
	}
	for i, w := range want {
		if got := q.At(i); got != w {
			t.Fatalf("element %d is %d, want %d", i, got, w)
		}
	}
}

// A queue that keeps what was popped keeps whole batches from the collector.
func TestPopForgets(t *testing.T) {
	var q Queue[*int]
	q.Push(new(int))
	q.Pop()
	for i, p := range q.ring {
		if p != nil {
			t.Fatalf("slot %d still refers to a popped element", i)
		}
	}
}

func TestPopOfEmptyPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Fatal("no panic")
		}
	}()
	var q Queue[int]
	q.Pop()
}
