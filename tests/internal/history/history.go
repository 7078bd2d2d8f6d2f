// Package history notes what producers sent and what they were told, and
// holds it against the log as a reader finds it: nothing acknowledged may be
// missing or elsewhere, nothing may be there twice, producers' orders hold, and
// what is said not to be in the log is not.
package history

import (
	"fmt"
	"sync"

	"github.com/streamhouse/streamhouse/libs/producer"
)

// History is what producers were told. It is safe for concurrent use.
type History struct {
	mu struct {
		sync.Mutex
		series map[series][]fate
		counts Counts
		// contradictions are found as they happen.
		contradictions []Violation
	}
}

// series is what one producer sends to one partition.
type series struct{ producer, partition uint32 }

// fate is what a producer knows of one record.
type fate struct {
	state  state
	offset uint64 // when acked
}

type state uint8

const (
	pending state = iota
	acked
	unknown
	notDone
)

// Counts sums a history up.
type Counts struct {
	Sent    int
	Acked   int
	Unknown int // failed, and perhaps in the log
	NotDone int // failed, and not in the log
}

// Pending is how many records are sent and neither acknowledged nor failed.
func (c Counts) Pending() int { return c.Sent - c.Acked - c.Unknown - c.NotDone }

func (c Counts) String() string {
	return fmt.Sprintf("%d sent, %d acknowledged, %d failed as unknown, %d as not done, %d open",
		c.Sent, c.Acked, c.Unknown, c.NotDone, c.Pending())
}

// New returns an empty history.
func New() *History {
	h := &History{}
	h.mu.series = map[series][]fate{}
	return h
}

// Send notes that a producer is about to send its next record to a partition.
// A producer must send the records of a partition in the order of their
// numbers: call Send and the sending itself from one goroutine.
func (h *History) Send(producer, partition uint32) ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := series{producer, partition}
	h.mu.series[s] = append(h.mu.series[s], fate{})
	h.mu.counts.Sent++
	return ID{Producer: producer, Partition: partition, Number: uint64(len(h.mu.series[s]) - 1)}
}

// Acked notes that a record was acknowledged at an offset.
func (h *History) Acked(id ID, offset uint64) {
	h.resolve(id, fate{state: acked, offset: offset})
}

// Failed notes that a record failed, and what its producer was told of it.
func (h *History) Failed(id ID, outcome producer.Outcome) {
	if outcome == producer.NotDone {
		h.resolve(id, fate{state: notDone})
		return
	}
	h.resolve(id, fate{state: unknown})
}

// Callback returns what to hand to SendAsync with the record.
func (h *History) Callback(id ID) func(producer.Ack, error) {
	return func(ack producer.Ack, err error) {
		switch {
		case err != nil:
			h.Failed(id, producer.OutcomeOf(err))
		case ack.Partition != id.Partition:
			h.contradict(id, fmt.Sprintf("%v is acknowledged in partition %d", id, ack.Partition))
		default:
			h.Acked(id, ack.Offset)
		}
	}
}

func (h *History) resolve(id ID, to fate) {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.mu.series[series{id.Producer, id.Partition}]
	if id.Number >= uint64(len(all)) || all[id.Number].state != pending {
		h.contradictLocked(id, fmt.Sprintf("%v is resolved twice, or was never sent", id))
		return
	}
	all[id.Number] = to
	switch to.state {
	case acked:
		h.mu.counts.Acked++
	case unknown:
		h.mu.counts.Unknown++
	case notDone:
		h.mu.counts.NotDone++
	case pending: // no resolution leads there
	}
}

func (h *History) contradict(id ID, text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.contradictLocked(id, text)
}

func (h *History) contradictLocked(id ID, text string) {
	h.mu.contradictions = append(h.mu.contradictions, Violation{Contradicted, id.Partition, text})
}

// Counts sums up what was noted until now.
func (h *History) Counts() Counts {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.mu.counts
}
