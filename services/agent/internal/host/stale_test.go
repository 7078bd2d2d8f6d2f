package host

import (
	"context"
	"iter"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/topics"
	"github.com/streamhouse/streamhouse/services/agent/internal/verify"
)

// slowScan holds the answer to one scan of the topics back.
type slowScan struct {
	meta.Store
	armed atomic.Bool
	delay time.Duration
}

func (s *slowScan) Scan(ctx context.Context, kind meta.Kind) iter.Seq2[meta.Row, error] {
	if kind != meta.Topics || !s.armed.CompareAndSwap(true, false) {
		return s.Store.Scan(ctx, kind)
	}
	var all []meta.Row
	for row, err := range s.Store.Scan(ctx, kind) {
		if err != nil {
			return func(yield func(meta.Row, error) bool) { yield(nil, err) }
		}
		all = append(all, row)
	}
	time.Sleep(s.delay)
	return func(yield func(meta.Row, error) bool) {
		for _, row := range all {
			if !yield(row, nil) {
				return
			}
		}
	}
}

// A list of topics that is older than a partition that was handed over meanwhile
// does not end its tenure: what is in flight and what comes would share offsets.
func TestStaleTopicList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows, objects := memory.NewRows(), memory.NewObjects()
		injector := faults.New(faults.Plan{Rules: []faults.Rule{{Op: faults.Put, First: 1, Kind: faults.Pause, Pause: 4 * time.Second}}})
		slow := &slowScan{Store: rows, delay: 1500 * time.Millisecond}
		w := worldOn(t, injector.Objects(objects), slow, 1)
		r := w.start()
		slow.armed.Store(true)
		for slow.armed.Load() { // until a list is under way
			time.Sleep(10 * time.Millisecond)
		}
		// Another agent makes a topic, owns it, and drains.
		topic, err := topics.New(rows, 100).Create(t.Context(), "later", 1)
		if err != nil {
			t.Fatal(err)
		}
		id := flush.ID{Topic: topic.ID}
		if err := r.HandedOver(t.Context(), []flush.ID{id}); err != nil {
			t.Fatal(err)
		}
		tenure := r.Pipeline.Tenure(id)
		first, second := make(waiting, 1), make(waiting, 1)
		if err := r.Pipeline.Append(id, encode(7, 0, 3), first, 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		if now := r.Pipeline.Tenure(id); now != tenure {
			t.Errorf("the tenure of epoch %d is %v now", tenure.Epoch, now)
		}
		if err := r.Pipeline.Append(id, encode(8, 0, 3), second, 1); err != nil {
			t.Fatal(err)
		}
		if a, b := <-first, <-second; a.err != nil || b.err != nil || a.base != 0 || b.base != 3 {
			t.Errorf("the batches got %v and %v", a, b)
		}
		r.crash()
		if _, err := verify.Run(t.Context(), rows, objects, verify.Options{}); err != nil {
			t.Error(err)
		}
	})
}

// A session that has lost track of a partition which its row says is its own ends:
// it does not begin the same epoch again.
func TestAstray(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		r := w.start()
		mustProduce(t, r, w, encode(7, 0, 3), 0)
		r.Drop(r.Pipeline.Tenure(flush.ID{Topic: w.topic.ID}))
		err := <-r.ended
		if !Finished(err) || !strings.Contains(err.Error(), "lost track") {
			t.Errorf("the session ended with %v", err)
		}
		next := w.start()
		defer next.crash()
		mustProduce(t, next, w, encode(7, 1, 3), 3)
	})
}

// The topic of a partition may be deleted after it was found missing, and its tenure
// ended: nor is that a reason.
func TestDeletedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1)
		r := w.start()
		defer r.crash()
		id := flush.ID{Topic: w.topic.ID}
		if _, err := w.catalog.Delete(t.Context(), w.topic.Name, nil); err != nil {
			t.Fatal(err)
		}
		r.Drop(r.Pipeline.Tenure(id))
		if err := r.acquireMissing(t.Context(), []flush.ID{id}, map[string]bool{}); err != nil {
			t.Error(err)
		}
		if r.Pipeline.Tenure(id) != nil || len(r.ended) > 0 {
			t.Error("it has a tenure again, or the session has ended")
		}
	})
}

// What was handed over to a session after it had found it missing is acquired
// already: that is no reason to end.
func TestAcquiredMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1)
		defer c.stopAll()
		n := c.start(seeded(1))
		c.balanced(time.Minute)
		id := flush.ID{Topic: c.topic.ID}
		tenure := n.Pipeline.Tenure(id)
		if err := n.acquireMissing(t.Context(), []flush.ID{id}, map[string]bool{}); err != nil {
			t.Error(err)
		}
		if now := n.Pipeline.Tenure(id); now != tenure {
			t.Errorf("its tenure is another one: %v", now)
		}
	})
}
