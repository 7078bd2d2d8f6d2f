package flush_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
)

// PUTs run in parallel and finish in any order; commits, and so answers and
// offsets, keep the order of the batches.
func TestParallelPuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		delays := []time.Duration{500 * ms, 10 * ms, 300 * ms, 1 * ms}
		began := time.Now()
		p := start(t, settings{
			Options: flush.Options{Concurrency: 4, Age: ms},
			put: func(seq uint64) {
				if started := time.Since(began); started > 20*ms {
					t.Errorf("PUT %d began only after %v", seq, started)
				}
				time.Sleep(delays[seq])
			},
		})
		p.own(2)
		var all []*question
		for i := range 4 {
			all = append(all, p.send(at(i%2), encode(1, uint64(i/2), 2, 0)))
			time.Sleep(5 * ms)
		}
		p.check(all)
		for i, q := range all {
			if when := q.must(t).when.Sub(began); when != 500*ms {
				t.Errorf("batch %d was answered after %v, and the first PUT took 500 ms", i, when)
			}
		}
		p.stop()
	})
}

// No more PUTs are under way than Concurrency allows.
func TestConcurrencyLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		now, most := 0, 0
		p := start(t, settings{
			Options: flush.Options{Concurrency: 3, Age: ms, BufferBytes: 1 << 20},
			put: func(uint64) {
				mu.Lock()
				now++
				most = max(most, now)
				mu.Unlock()
				time.Sleep(50 * ms)
				mu.Lock()
				now--
				mu.Unlock()
			},
		})
		p.own(1)
		var all []*question
		for seq := range uint64(100) {
			all = append(all, p.send(at(0), encode(1, seq, 1, 3000)))
			time.Sleep(ms)
		}
		p.check(all)
		if most != 3 {
			t.Errorf("%d PUTs at a time, want 3", most)
		}
		p.stop()
	})
}

// Whatever single request fails, before or after its effect or late, every
// batch is in the log once, in order, where its answer said (holes 2, 3, 14).
func TestEveryFault(t *testing.T) {
	for _, rule := range []faults.Rule{
		{Kind: faults.ErrBefore},
		{Kind: faults.ErrAfter},
		{Kind: faults.Late, Pause: ms},
		{Kind: faults.Late, Pause: 700 * ms},
		{Kind: faults.Pause, Pause: time.Minute}, // beyond PutTimeout
	} {
		for rule.First = 1; ; rule.First++ {
			fired := false
			synctest.Test(t, func(t *testing.T) { fired = faulty(t, rule) })
			if !fired {
				break
			}
			if t.Failed() {
				t.Fatalf("under %v", rule)
			}
		}
	}
}

// faulty sends 3 producers' batches to 2 partitions, with several in flight.
func faulty(t *testing.T, rules ...faults.Rule) (fired bool) {
	t.Helper()
	p := start(t, settings{
		Options: flush.Options{Concurrency: 3, Age: 5 * ms, AckTimeout: 10 * time.Minute},
		plan:    faults.Plan{Seed: rules[0].First, Put: faults.Latency{P50: 20 * ms, P99: 60 * ms}, Commit: faults.Latency{P50: 4 * ms, P99: 10 * ms}, Rules: rules},
	})
	p.own(2)
	var all []*question
	for i := range 30 {
		all = append(all, p.send(at(i%2), encode(uint64(1+i/2%3), uint64(i/6), 1+i%4, 100*(i%5))))
		time.Sleep(3 * ms)
	}
	p.check(all)
	fired = p.injector.Injected() > 0
	p.stop()
	p.check(all) // what was late changed nothing
	return fired
}

// The same with many faults at a time.
func TestManyFaults(t *testing.T) {
	for seed := range uint64(40) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			var rules []faults.Rule
			for _, kind := range []faults.Kind{faults.ErrBefore, faults.ErrAfter, faults.Late, faults.Pause} {
				rules = append(rules, faults.Rule{
					Kind: kind, First: 1 + r.Uint64N(5), Every: 5 + 2*r.Uint64N(5), Pause: time.Duration(r.IntN(int(time.Second))),
				})
			}
			faulty(t, rules...)
			if t.Failed() {
				t.Fatalf("seed %d", seed)
			}
		})
	}
}

// Producers that send at the same time, each in its own goroutine, under the
// race detector: nothing is lost, doubled or swapped (hole 17).
func TestConcurrentProducers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{
			Options: flush.Options{Concurrency: 4, Age: ms, Bytes: 1 << 14},
			plan:    faults.Plan{Put: faults.Latency{P50: 5 * ms, P99: 20 * ms}},
		})
		p.own(8)
		questions := make([][]*question, 8) // by partition; each has one producer
		var group sync.WaitGroup
		for i := range questions {
			group.Go(func() {
				for seq := range uint64(200) {
					q := p.send(at(i), encode(uint64(1+i), seq, 1+int(seq%3), int(seq*13%700)))
					questions[i] = append(questions[i], q)
					if seq%20 == 19 {
						q.wait(t)
					}
				}
			})
		}
		group.Wait()
		var all []*question
		for _, q := range questions {
			all = append(all, q...)
		}
		p.check(all)
		p.stop()
	})
}

// A repeat of what is in flight waits for it, a repeat of what is committed
// gets its offset, and neither is appended again (hole 13).
func TestRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{plan: slowPuts(time.Second)})
		p.own(1)
		p.send(at(0), encode(9, 0, 5, 0)).must(t)
		first := p.send(at(0), encode(1, 0, 3, 0))
		again := p.send(at(0), encode(1, 0, 3, 0))
		time.Sleep(500 * ms)
		third := p.send(at(0), encode(1, 0, 3, 0))
		for i, q := range []*question{first, again, third} {
			if r := q.must(t); r.base != 5 || r.when != first.first.when {
				t.Errorf("try %d: at %d, %v after the first", i, r.base, r.when.Sub(first.first.when))
			}
		}
		later := p.send(at(0), encode(1, 0, 3, 0))
		if r := later.must(t); r.base != 5 || r.when != later.sent {
			t.Errorf("later: at %d, after %v", r.base, r.when.Sub(later.sent))
		}
		if n := len(p.log()[at(0)]); n != 2 {
			t.Errorf("the log has %d batches", n)
		}
		p.stop()
	})
}

// Refusals name what the producer did wrong, and append nothing.
func TestRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		expired := false
		p := start(t, settings{valid: func(time.Time) error {
			if expired {
				return reason.New(reason.LeaseExpired, "no lease")
			}
			return nil
		}})
		p.own(1)
		p.send(at(0), encode(1, 0, 1, 0)).must(t)
		for name, c := range map[string]struct {
			id   flush.ID
			b    *flush.Batch
			want error
		}{
			"gap":       {at(0), encode(1, 2, 1, 0), reason.SequenceGap},
			"conflict":  {at(0), encode(1, 0, 2, 0), reason.SequenceConflict},
			"unknown":   {at(0), encode(2, 1, 1, 0), reason.UnknownProducer},
			"partition": {at(1), encode(1, 0, 1, 0), reason.NotOwner},
			"topic":     {flush.ID{Topic: 2}, encode(1, 0, 1, 0), reason.NotOwner},
		} {
			if r := p.send(c.id, c.b).wait(t); !errors.Is(r.err, c.want) {
				t.Errorf("%s: %v", name, r.err)
			}
		}
		expired = true
		if r := p.send(at(0), encode(1, 1, 1, 0)).wait(t); !errors.Is(r.err, reason.LeaseExpired) {
			t.Errorf("without a lease: %v", r.err)
		}
		if n := len(p.log()[at(0)]); n != 1 {
			t.Errorf("the log has %d batches", n)
		}
		p.stop()
	})
}

// When the session is fenced, everybody who waits hears of it, nothing more is
// taken or committed, and readers that wait are woken (R7).
func TestFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{Options: flush.Options{Concurrency: 2, Age: 10 * ms}, plan: slowPuts(100 * ms)})
		tenures := p.own(1)
		p.send(at(0), encode(1, 0, 1, 0)).must(t)
		if _, err := journal.Seal(t.Context(), p.rows, session, "another", 0); err != nil {
			t.Fatal(err)
		}
		lost := make(chan error, 1)
		go func() { lost <- tenures[0].Index.Wait(t.Context(), 1) }()
		var all []*question
		for i := range 3 { // one commits, one flies, one gathers
			all = append(all, p.send(at(0), encode(1, uint64(1+i), 1, 0)))
			time.Sleep(20 * ms)
		}
		for i, q := range all {
			if r := q.wait(t); !errors.Is(r.err, reason.Fenced) {
				t.Errorf("batch %d: %v", i, r.err)
			}
		}
		if err := <-p.ended; !errors.Is(err, journal.ErrFenced) {
			t.Errorf("ended with %v", err)
		}
		if err := <-lost; err == nil {
			t.Error("a reader still waits for records")
		}
		if r := p.send(at(0), encode(1, 1, 1, 0)).wait(t); !errors.Is(r.err, reason.Fenced) {
			t.Errorf("afterwards: %v", r.err)
		}
		if err := p.Own(flush.NewTenure(at(5), 1, 0, 0, tenures[0].Index, nil)); err == nil {
			t.Error("a finished session took a partition")
		}
		if n := len(p.log()[at(0)]); n != 1 {
			t.Errorf("the log has %d batches", n)
		}
		p.injector.Wait() // PUTs that were cut off
		p.recent.releaseAll()
	})
}

// A segment that cannot be composed ends the session: to pass over it would
// answer the next one's batches under its name.
func TestUncomposable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{session: "no session id"})
		p.own(1)
		if r := p.send(at(0), encode(1, 0, 1, 0)).wait(t); !errors.Is(r.err, reason.StorageFailed) {
			t.Errorf("answered with %v", r.err)
		}
		select {
		case err := <-p.ended:
			if err == nil || errors.Is(err, errKilled) {
				t.Errorf("ended with %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("the session goes on")
		}
	})
}

// Killed in the middle of it, a pipeline answers everybody that the outcome is
// unknown, and what it told as committed is.
func TestKilled(t *testing.T) {
	for after := range 40 {
		synctest.Test(t, func(t *testing.T) {
			p := start(t, settings{
				Options: flush.Options{Concurrency: 3, Age: 5 * ms},
				plan:    faults.Plan{Put: faults.Latency{P50: 20 * ms, P99: 60 * ms}, Commit: faults.Latency{P50: 5 * ms, P99: 20 * ms}},
			})
			p.own(1)
			var all []*question
			time.AfterFunc(time.Duration(after)*7*ms, func() { p.kill(errKilled) })
			for seq := range uint64(60) {
				all = append(all, p.send(at(0), encode(1, seq, 1, 0)))
				time.Sleep(4 * ms)
			}
			if err := <-p.ended; !errors.Is(err, errKilled) {
				t.Errorf("ended with %v", err)
			}
			p.injector.Wait()
			committed := p.log()[at(0)]
			for i, q := range all {
				r := q.wait(t)
				switch {
				case r.err == nil && (i >= len(committed) || committed[i].base != r.base):
					t.Errorf("killed after %d: batch %d was acknowledged at %d; %d are committed", after, i, r.base, len(committed))
				case r.err != nil && reason.From(r.err).Outcome() == reason.NotDone && i < len(committed):
					t.Errorf("killed after %d: batch %d is committed and was refused with %v", after, i, r.err)
				}
			}
			p.recent.releaseAll()
		})
	}
}
