package flush_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/producers"
)

// down is a store of objects that takes nothing until it is disarmed.
func down() faults.Plan {
	return faults.Plan{Rules: []faults.Rule{{Op: faults.Put, Every: 1, Kind: faults.ErrBefore}}}
}

// With the store down, batches are taken until the buffers are full and then
// refused with a delay; nothing that was taken is lost, and nothing that was
// refused appears (holes 2 and 21).
func TestOverloaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{
			Options: flush.Options{Bytes: 1 << 14, BufferBytes: 1 << 16, Concurrency: 2, AckTimeout: time.Hour}, plan: down(),
		})
		p.own(3)
		var taken []*question
		var refused *question
		for i := 0; ; i++ {
			q := p.send(at(i%3), encode(1, uint64(i/3), 1, 1000))
			if len(q.answer) > 0 {
				refused = q
				break
			}
			taken = append(taken, q)
			time.Sleep(ms)
			if used, limit := p.Buffered(); used > limit || limit != 1<<16 {
				t.Fatalf("%d bytes of %d are held", used, limit)
			}
		}
		r := refused.wait(t)
		if !errors.Is(r.err, reason.Overloaded) || reason.From(r.err).RetryDelay <= 0 {
			t.Errorf("refused with %v", r.err)
		}
		if len(taken) < 45 || len(taken) > 65 {
			t.Errorf("%d batches of 1 kB were taken into 64 KiB", len(taken))
		}
		// What comes after the refused one must not overtake it.
		next := encode(1, refused.batch.Header.Sequence+1, 1, 1000)
		time.Sleep(time.Minute)
		p.injector.Disarm()
		for _, q := range taken {
			q.must(t)
		}
		if r := p.send(refused.id, next).wait(t); !errors.Is(r.err, reason.SequenceGap) {
			t.Errorf("the successor of a refused batch: %v", r.err)
		}
		taken = append(taken, p.send(refused.id, refused.batch), p.send(refused.id, next))
		p.check(taken)
		p.stop()
	})
}

// When the store does not answer, producers are told after AckTimeout that the
// outcome is unknown. The flush goes on: a repeat waits for it, for as long
// again, and in the end gets the one offset that the batch has.
func TestAckTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{Options: flush.Options{AckTimeout: 5 * time.Second, Concurrency: 2, MaxPerSecond: 1}, plan: down()})
		p.own(1)
		b := encode(1, 0, 3, 0)
		first := p.send(at(0), b)
		time.Sleep(ms)
		gathering := p.send(at(0), encode(1, 1, 1, 0))
		for _, q := range []*question{first, gathering} {
			r := q.wait(t)
			if took := r.when.Sub(q.sent); !errors.Is(r.err, reason.StorageFailed) || took > 6*time.Second || took < 4*time.Second {
				t.Errorf("answered after %v with %v", took, r.err)
			}
		}
		for range 3 {
			time.Sleep(time.Second)
			q := p.send(at(0), b)
			r := q.wait(t)
			if took := r.when.Sub(q.sent); !errors.Is(r.err, reason.StorageFailed) || took != 5*time.Second {
				t.Errorf("a repeat was answered after %v with %v", took, r.err)
			}
		}
		waits := p.send(at(0), b)
		time.Sleep(time.Second)
		p.injector.Disarm()
		if r := waits.must(t); r.base != 0 {
			t.Errorf("at %d", r.base)
		}
		if r := p.send(at(0), b).must(t); r.base != 0 {
			t.Errorf("a later repeat at %d", r.base)
		}
		if r := p.send(at(0), encode(1, 1, 1, 0)).must(t); r.base != 3 {
			t.Errorf("the second at %d", r.base)
		}
		if log := p.log()[at(0)]; len(log) != 2 {
			t.Errorf("the log has %v", log)
		}
		p.stop()
	})
}

// Batches larger than a flush get a buffer of their own size, keep their
// order, and do not stay in memory.
func TestLargeBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{
			Options: flush.Options{Bytes: 1 << 12, BufferBytes: 1 << 20, Concurrency: 2}, plan: slowPuts(20 * ms),
		})
		p.own(2)
		var all []*question
		for i, size := range []int{10, 5000, 4096, 4095, 100_000, 20, 4000, 96, 4096, 1 << 16, 1, 1, 1} {
			all = append(all, p.send(at(i%2), encode(1, uint64(i/2), 1, size)))
		}
		p.check(all)
		p.recent.releaseAll()
		for i := range 10 {
			all = append(all, p.send(at(0), encode(2, uint64(i), 1, 1)))
			if used, _ := p.Buffered(); used != 1<<12 {
				t.Errorf("a small batch holds %d bytes", used)
			}
			all[len(all)-1].must(t)
		}
		p.stop()
		p.check(all)
	})
}

// One PUT that hangs is given up, and the flush is tried anew.
func TestPutTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{plan: faults.Plan{Rules: []faults.Rule{{Op: faults.Put, Kind: faults.Pause, Pause: time.Hour}}}})
		p.own(1)
		q := p.send(at(0), encode(1, 0, 1, 0))
		if took := q.must(t).when.Sub(q.sent); took < 10*time.Second || took > 11*time.Second {
			t.Errorf("it took %v, and one PUT may take 10 s", took)
		}
		p.stop()
	})
}

// A batch that can never fit is refused, and one that fits when the rest is
// gone is taken then.
func TestLargestBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{Options: flush.Options{Bytes: 1 << 12, BufferBytes: 1 << 16}, plan: slowPuts(time.Second)})
		p.own(1)
		small := p.send(at(0), encode(0, 0, 1, 10))
		large := encode(0, 0, 1, 1<<16-100)
		if r := p.send(at(0), large).wait(t); !errors.Is(r.err, reason.Overloaded) {
			t.Errorf("beside another: %v", r.err)
		}
		small.must(t)
		p.send(at(0), large).must(t)
		p.stop()
	})
}

// How many producers are remembered is bounded, and those who fell silent make
// room for others.
func TestMaxProducers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{Options: flush.Options{MaxProducers: 3}})
		tenures := p.own(2)
		for id := range uint64(3) {
			p.send(at(int(id%2)), encode(1+id, 0, 1, 0)).must(t)
		}
		full := func(want bool) {
			t.Helper()
			r := p.send(at(0), encode(9, 0, 1, 0)).wait(t)
			if errors.Is(r.err, reason.Overloaded) != want || !want && r.err != nil {
				t.Errorf("a new producer: %v", r.err)
			}
		}
		full(true)
		p.send(at(0), encode(0, 0, 1, 0)).must(t) // without an id
		p.send(at(0), encode(1, 1, 1, 0)).must(t) // known
		time.Sleep(producers.MinAge)
		p.ExpireProducers(time.Now())
		full(true)
		p.send(at(0), encode(1, 2, 1, 0)).must(t)
		time.Sleep(time.Second)
		p.ExpireProducers(time.Now()) // 2 and 3, and not 1
		if r := p.send(at(0), encode(1, 3, 1, 0)).wait(t); r.err != nil {
			t.Errorf("who sent an hour ago: %v", r.err)
		}
		full(false)
		if r := p.send(at(1), encode(2, 1, 1, 0)).wait(t); !errors.Is(r.err, reason.UnknownProducer) {
			t.Errorf("an expired producer: %v", r.err)
		}
		p.Disown(tenures[0], reason.New(reason.UnknownTopic, "gone"))
		for id := range uint64(3) { // 1 and 9 are gone with their partition
			p.send(at(1), encode(20+id, 0, 1, 0)).must(t)
		}
		if r := p.send(at(1), encode(30, 0, 1, 0)).wait(t); !errors.Is(r.err, reason.Overloaded) {
			t.Errorf("one too many: %v", r.err)
		}
		p.stop()
	})
}
