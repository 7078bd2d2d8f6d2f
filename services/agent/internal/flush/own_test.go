package flush_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/proto/reason"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/producers"
)

var errMoved = reason.New(reason.Draining, "it moves")

// A release waits for what is in flight, tells where the log ends and what its
// producers sent, and lets nothing in behind it (R6, holes 5 and 6).
func TestRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{Options: flush.Options{Concurrency: 2, Age: 10 * ms}, plan: slowPuts(time.Second)})
		tenures := p.own(2)
		var all []*question
		for seq := range uint64(3) {
			all = append(all, p.send(at(0), encode(1, seq, 2, 0)), p.send(at(1), encode(1, seq, 1, 0)))
			time.Sleep(20 * ms)
		}
		began, meanwhile := time.Now(), make(chan *question, 1)
		time.AfterFunc(ms, func() {
			if r := p.send(at(0), encode(1, 3, 1, 0)).wait(t); !errors.Is(r.err, reason.Draining) {
				t.Errorf("while it is released: %v", r.err)
			}
			meanwhile <- p.send(at(1), encode(1, 3, 1, 0))
		})
		released, err := p.Release(t.Context(), tenures[0], errMoved)
		if err != nil || released.End != 6 || time.Since(began) < 900*ms {
			t.Fatalf("released at %d after %v, %v", released.End, time.Since(began), err)
		}
		if p.Tenure(at(0)) != nil || len(p.Tenures()) != 1 {
			t.Error("it is still owned")
		}
		if r := p.send(at(0), encode(1, 3, 1, 0)).wait(t); !errors.Is(r.err, reason.NotOwner) {
			t.Errorf("afterwards: %v", r.err)
		}
		state, end, err := producers.Parse[flush.Flight](released.State, time.Now())
		if err != nil || end != 6 {
			t.Fatalf("its state goes up to %d, %v", end, err)
		}
		p.check(append(all, <-meanwhile))
		again := flush.NewTenure(at(0), 2, released.End, p.FirstSeq(), index.New(0, released.End, nil), state)
		if err := p.Own(again); err != nil {
			t.Fatal(err)
		}
		if r := p.send(at(0), encode(1, 1, 2, 0)).must(t); r.base != 2 {
			t.Errorf("a repeat under the next tenure is at %d", r.base)
		}
		if r := p.send(at(0), encode(1, 3, 1, 0)).must(t); r.base != 6 {
			t.Errorf("the next batch is at %d", r.base)
		}
		p.stop()
	})
}

// A release that runs out of time says so, and leaves the tenure closed.
func TestReleaseTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{plan: down()})
		tenures := p.own(1)
		q := p.send(at(0), encode(1, 0, 1, 0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Release(ctx, tenures[0], errMoved); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("released with %v", err)
		}
		p.injector.Disarm()
		q.must(t)
		if released, err := p.Release(t.Context(), tenures[0], errMoved); err != nil || released.End != 1 {
			t.Errorf("released at %d, %v", released.End, err)
		}
		p.stop()
	})
}

// A release that waits when the session ends does not wait for ever.
func TestReleaseWhileKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{plan: down()})
		tenures := p.own(2)
		p.send(at(0), encode(1, 0, 1, 0))
		p.send(at(1), encode(1, 0, 1, 0))
		time.AfterFunc(time.Second, func() {
			p.Disown(tenures[1], errMoved)
			p.kill(errKilled)
		})
		ended := make(chan error, 2)
		for _, tenure := range tenures {
			go func() {
				_, err := p.Release(t.Context(), tenure, errMoved)
				ended <- err
			}()
		}
		for range 2 {
			select {
			case err := <-ended:
				if err == nil {
					t.Error("released what was not resolved")
				}
			case <-time.After(time.Minute):
				t.Fatal("it still waits")
			}
		}
		if err := <-p.ended; !errors.Is(err, errKilled) {
			t.Errorf("ended with %v", err)
		}
	})
}

// A topic that is deleted takes its partition away at once; what was taken
// before is still committed and answered.
func TestDisown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{plan: slowPuts(time.Second)})
		tenures := p.own(2)
		all := []*question{p.send(at(0), encode(1, 0, 2, 0)), p.send(at(1), encode(1, 0, 1, 0))}
		gone := reason.New(reason.UnknownTopic, "it was deleted")
		p.Disown(tenures[0], gone)
		if p.Tenure(at(0)) != nil {
			t.Error("it is still owned")
		}
		if r := p.send(at(0), encode(1, 1, 2, 0)).wait(t); !errors.Is(r.err, reason.NotOwner) {
			t.Errorf("afterwards: %v", r.err)
		}
		p.check(all)
		p.Disown(tenures[0], gone) // again is no harm
		p.stop()
	})
}

// A partition whose topic is deleted while its release waits was disowned: it
// must not count as released, nor may its producers be counted out twice.
func TestDisownWhileReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{Options: flush.Options{MaxProducers: 2}, plan: slowPuts(time.Second)})
		tenures := p.own(2)
		q := p.send(at(0), encode(1, 0, 1, 0))
		time.AfterFunc(100*ms, func() { p.Disown(tenures[0], reason.New(reason.UnknownTopic, "it was deleted")) })
		if _, err := p.Release(t.Context(), tenures[0], errMoved); !errors.Is(err, flush.ErrDisowned) {
			t.Errorf("released with %v", err)
		}
		q.must(t)
		for id := range uint64(2) {
			p.send(at(1), encode(10+id, 0, 1, 0)).must(t)
		}
		if r := p.send(at(1), encode(20, 0, 1, 0)).wait(t); !errors.Is(r.err, reason.Overloaded) {
			t.Errorf("a third producer of two: %v", r.err)
		}
		p.stop()
	})
}

// Drain refuses what is new, flushes what waits for the ceiling at once, and
// returns when everything is answered (hole 5).
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{Options: flush.Options{MaxPerSecond: 0.01, Concurrency: 4}, plan: slowPuts(50 * ms)})
		p.own(2)
		all := []*question{p.send(at(0), encode(1, 0, 1, 0))}
		all[0].must(t)
		all = append(all, p.send(at(1), encode(1, 0, 1, 0)), p.send(at(0), encode(1, 1, 1, 0)))
		began := time.Now()
		if err := p.Drain(t.Context(), errMoved); err != nil || time.Since(began) != 50*ms {
			t.Errorf("drained after %v, %v", time.Since(began), err)
		}
		if len(all[1].answer) != 1 || len(all[2].answer) != 1 {
			t.Error("drained before everything was answered")
		}
		p.check(all)
		if r := p.send(at(0), encode(1, 2, 1, 0)).wait(t); !errors.Is(r.err, reason.Draining) {
			t.Errorf("afterwards: %v", r.err)
		}
		if err := p.Own(flush.NewTenure(at(5), 1, 0, 0, index.New(0, 0, nil), nil)); !errors.Is(err, reason.Draining) {
			t.Errorf("a partition was taken: %v", err)
		}
		p.stop()
	})
}

// The producers of a tenure count while it is here, and go with it.
func TestProducersMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{Options: flush.Options{MaxProducers: 2}})
		tenures := p.own(2)
		p.send(at(0), encode(1, 0, 1, 0)).must(t)
		p.send(at(0), encode(2, 0, 1, 0)).must(t)
		released, err := p.Release(t.Context(), tenures[0], errMoved)
		if err != nil {
			t.Fatal(err)
		}
		p.send(at(1), encode(1, 0, 1, 0)).must(t)
		state, _, err := producers.Parse[flush.Flight](released.State, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Own(flush.NewTenure(at(0), 1, 2, 2, index.New(0, 2, nil), state)); err != nil {
			t.Fatal(err)
		}
		if r := p.send(at(1), encode(3, 0, 1, 0)).wait(t); !errors.Is(r.err, reason.Overloaded) {
			t.Errorf("a fourth producer of two: %v", r.err)
		}
		p.stop()
	})
}

// What is done to an old tenure does not touch a later one of its partition.
func TestDisownOldTenure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{})
		tenures := p.own(1)
		p.Disown(tenures[0], errMoved)
		again := flush.NewTenure(at(0), 1, 0, 0, index.New(0, 0, nil), nil)
		if err := p.Own(again); err != nil {
			t.Fatal(err)
		}
		p.Disown(tenures[0], errMoved)
		if p.Tenure(at(0)) != again {
			t.Error("the later tenure is gone")
		}
		p.send(at(0), encode(1, 0, 1, 0)).must(t)
		p.stop()
	})
}

// Two tenures of one partition at a time would give offsets out twice.
func TestOwnTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := start(t, settings{})
		p.own(1)
		if err := p.Own(flush.NewTenure(at(0), 2, 0, 0, index.New(0, 0, nil), nil)); err == nil {
			t.Error("a partition was owned twice")
		}
		p.stop()
	})
}
