package flush_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
)

const ms = time.Millisecond

func slowPuts(d time.Duration) faults.Plan { return faults.Plan{Put: faults.Latency{P50: d}} }

// A lone batch waits for nothing but the two stores.
func TestAtOnceWhenIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{plan: faults.Plan{Put: faults.Latency{P50: 60 * ms}, Commit: faults.Latency{P50: 4 * ms}}})
		p.own(1)
		for seq := range uint64(5) {
			q := p.send(at(0), encode(1, seq, 3, 0))
			if took := q.must(t).when.Sub(q.sent); took != 64*ms {
				t.Errorf("batch %d took %v", seq, took)
			}
		}
		p.stop()
	})
}

// While a flush is in flight, what comes next gathers until the flush is done
// or the first of it is Age old, whichever is earlier.
func TestAge(t *testing.T) {
	for put, want := range map[time.Duration]time.Duration{
		time.Second: 10*ms + 100*ms, // Age
		50 * ms:     50 * ms,        // the flush is done
	} {
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			puts := make(chan time.Duration, 10)
			p := start(t, settings{
				Options: flush.Options{Concurrency: 4}, plan: slowPuts(put),
				put: func(uint64) { puts <- time.Since(began) },
			})
			p.own(1)
			first := p.send(at(0), encode(1, 0, 1, 0))
			time.Sleep(10 * ms)
			second := p.send(at(0), encode(1, 1, 1, 0))
			time.Sleep(20 * ms)
			third := p.send(at(0), encode(1, 2, 1, 0))
			p.check([]*question{first, second, third})
			if n := len(puts); n != 2 {
				t.Fatalf("%d PUTs", n)
			}
			if a, b := <-puts, <-puts; a != 0 || b != want {
				t.Errorf("PUTs of %v began at %v and %v; want 0 and %v", put, a, b, want)
			}
			p.stop()
		})
	}
}

// The ceiling bounds what small flushes cost, and no batch waits longer for it
// than one interval.
func TestCeilingBindsSmallFlushes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{Options: flush.Options{Bytes: 1 << 20, MaxPerSecond: 10, Concurrency: 4}})
		p.own(4)
		var all []*question
		for i := range 4000 {
			all = append(all, p.send(at(i%4), encode(1, uint64(i/4), 1, 0)))
			time.Sleep(ms)
		}
		p.check(all)
		if puts := p.injector.Ops()[faults.Put]; puts < 39 || puts > 42 {
			t.Errorf("%d flushes in 4 s", puts)
		}
		began := time.Now()
		q := p.send(at(0), encode(1, 1000, 1, 0))
		q.must(t)
		if took := time.Since(began); took > 100*ms {
			t.Errorf("a batch waited %v", took)
		}
		time.Sleep(time.Second)
		q = p.send(at(0), encode(1, 1001, 1, 0))
		if took := q.must(t).when.Sub(q.sent); took != 0 {
			t.Errorf("after a pause a batch waited %v", took)
		}
		p.stop()
	})
}

// Full buffers do not wait for the ceiling: it is there for cost, and their
// cost per byte is as low as it gets.
func TestCeilingSparesFullBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{Options: flush.Options{MaxPerSecond: 0.1, Bytes: 1 << 14, Concurrency: 4}})
		p.own(1)
		var all []*question
		for seq := range uint64(40) {
			all = append(all, p.send(at(0), encode(1, seq, 1, 1<<13)))
			time.Sleep(ms)
		}
		for _, q := range all[:38] {
			if r := q.must(t); r.when.Sub(q.sent) > 2*ms {
				t.Errorf("batch %d waited %v", q.batch.Header.Sequence, r.when.Sub(q.sent))
			}
		}
		p.stop()
		p.check(all)
	})
}

// One flush costs one PUT and one row, however many partitions are in it.
func TestRequestsPerFlush(t *testing.T) {
	for _, partitions := range []int{1, 16, 256} {
		synctest.Test(t, func(t *testing.T) {
			p := start(t, settings{Options: flush.Options{Bytes: 1 << 20}, plan: slowPuts(50 * ms)})
			p.own(partitions)
			for round := range uint64(4) {
				var all []*question
				first := p.send(at(0), encode(1, 2*round, 1, 0)) // alone
				synctest.Wait()
				all = append(all, p.send(at(0), encode(1, 2*round+1, 1, 0)))
				for i := 1; i < partitions; i++ {
					all = append(all, p.send(at(i), encode(1, round, 1, 0)))
				}
				for _, q := range append(all, first) {
					q.must(t)
				}
			}
			ops := p.injector.Ops()
			if ops[faults.Put] != 8 || ops[faults.RowCreate] != 8 || len(ops) != 2 {
				t.Errorf("%d partitions: 8 flushes cost %v", partitions, ops)
			}
			p.stop()
		})
	}
}

// Very small batches in great number fill a flush by their count: what is kept
// about each must not outgrow the buffers.
func TestManyTinyBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{Options: flush.Options{Bytes: 4 << 20, Concurrency: 2}, plan: slowPuts(time.Second)})
		p.own(1)
		var all []*question
		b := encode(0, 0, 1, 0)
		for range 3 * journal.MaxCommits {
			all = append(all, p.send(at(0), b))
		}
		all[len(all)-1].must(t)
		if puts := p.injector.Ops()[faults.Put]; puts != 3 && puts != 4 {
			t.Errorf("%d batches took %d flushes", len(all), puts)
		}
		for i, q := range all[:len(all)-1] {
			if r := q.must(t); r.base != uint64(i) {
				t.Fatalf("batch %d is at %d", i, r.base)
			}
		}
		p.log()
		p.stop()
	})
}

// A flush of more partitions than a row can name would be committed and never
// be read again: two topics of 10,000 partitions, each with one small batch,
// are enough for it.
func TestManyPartitionsInOneFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const partitions = journal.MaxCommits + 500
		p := start(t, settings{Options: flush.Options{Bytes: 4 << 20, Concurrency: 2}, plan: slowPuts(time.Second)})
		p.own(partitions)
		p.send(at(0), encode(0, 0, 1, 0)).must(t)
		p.send(at(0), encode(0, 0, 1, 0)) // keeps the store busy
		synctest.Wait()
		var last *question
		b := encode(0, 0, 1, 0)
		for i := range partitions {
			last = p.send(at(i), b)
		}
		last.must(t)
		if n := len(p.log()); n != partitions {
			t.Errorf("%d partitions can be read", n)
		}
		p.stop()
	})
}
