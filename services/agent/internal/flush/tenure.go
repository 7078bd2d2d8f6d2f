package flush

import (
	"cmp"

	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/producers"
)

// ID names a partition.
type ID struct{ Topic, Partition uint32 }

// Compare sorts by topic, then by partition.
func (id ID) Compare(other ID) int {
	return cmp.Or(cmp.Compare(id.Topic, other.Topic), cmp.Compare(id.Partition, other.Partition))
}

// State is what is remembered of a partition's producers; its handles point to
// batches in flight.
type State = producers.State[Flight]

// Flight is where a batch in flight waits.
type Flight struct {
	buffer *buffer
	entry  int
}

// Tenure is one partition while this session owns it. A later tenure of the
// same partition is another Tenure: nothing that was begun under one ends
// under the other (R5).
type Tenure struct {
	ID
	Epoch uint64
	// Start is the offset at which the tenure began, FirstSeq the journal seq
	// from which on its commits can stand.
	Start    uint64
	FirstSeq uint64
	// Index serves readers. The pipeline appends to it after each commit.
	Index *index.Log

	// The rest is guarded by the pipeline's lock.

	producers *State
	end       uint64 // the committed end; producers' committed part goes as far
	assigned  uint64 // the end once the row that is being written stands
	inFlight  int    // entries that are not resolved
	segments  uint32 // until the next that carries the producers' state
	closed    error  // why nothing more is taken, once that is so
	idle      chan struct{}
	section   int     // this partition's section of the buffer `buffer`
	buffer    *buffer // the newest buffer that has batches of this partition
}

// NewTenure takes over what the earlier owners committed: everything up to
// end, and the producers' state there.
func NewTenure(id ID, epoch, end, firstSeq uint64, log *index.Log, state *State) *Tenure {
	if state == nil {
		state = &State{}
	}
	return &Tenure{
		ID: id, Epoch: epoch, Start: end, FirstSeq: firstSeq, Index: log,
		producers: state, end: end, assigned: end,
	}
}
