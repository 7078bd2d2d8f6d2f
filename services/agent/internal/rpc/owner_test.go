package rpc

import (
	"testing"
	"testing/synctest"

	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/proto/wire"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
)

// A partition that is not owned here is NOT_OWNER also while the store cannot
// say whether it exists: the producer looks for its owner and spends none of
// its retries. It was STORAGE_UNAVAILABLE, and an agent whose store died failed
// records that its successor could have taken.
func TestNotOwnerWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := serve(t, faults.Plan{Rules: []faults.Rule{{Op: faults.RowQuery, First: 100, Every: 1, Kind: faults.ErrBefore}}})
		for {
			if _, err := a.manage.ListTopics(t.Context(), &streamhousev1.ListTopicsRequest{}); err != nil {
				break // from here on no topic can be looked up
			}
		}
		s := a.stream()
		s.send(wire.Batch{RequestID: 1, TopicID: 1000, Data: encode(1, 0, 1, 10)})
		if answer := s.receive(1)[0]; !is(answer, reason.NotOwner) {
			t.Errorf("answered %+v", answer)
		}
	})
}
