// Package fifo is a queue in a ring, for those that are filled and drained all
// the time: once it has grown to its working size it allocates nothing.
package fifo

// Queue is a first-in first-out queue. Its zero value is empty and ready. It
// is not safe for concurrent use.
type Queue[T any] struct {
	ring []T // its length is zero or a power of two
	head int
	n    int
}

// Len returns the number of elements.
func (q *Queue[T]) Len() int { return q.n }

// Push adds v at the end.
func (q *Queue[T]) Push(v T) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = v
	q.n++
}

// Pop takes the first element out. It panics on an empty queue.
func (q *Queue[T]) Pop() T {
	first := q.At(0)
	var none T
	q.ring[q.head] = none // what was taken out must not stay reachable from here
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	return first
}

// At returns the element with i others before it. It panics when there is none.
func (q *Queue[T]) At(i int) T {
	if i < 0 || i >= q.n {
		panic("fifo: no such element")
	}
	return q.ring[(q.head+i)&(len(q.ring)-1)]
}

func (q *Queue[T]) grow() {
	ring := make([]T, max(8, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = q.At(i)
	}
	q.ring, q.head = ring, 0
}
