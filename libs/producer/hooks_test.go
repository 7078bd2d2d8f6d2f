package producer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// diary is a hook for everything that writes down what it hears, in one line
// each.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(format string, args ...any) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, fmt.Sprintf(format, args...))
}

// take returns what was written since the last time.
func (d *diary) take() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines
	d.lines = nil
	return lines
}

func (d *diary) OnStart(*producer.Producer) { d.note("start") }
func (d *diary) OnClose(*producer.Producer) { d.note("close") }

func (d *diary) OnBatchSent(e producer.BatchSentEvent) {
	d.note("sent %s/%d to %s: %d records, attempt %d, after %v", e.Topic, e.Partition, name(e.Agent), e.Records, e.Attempt, e.Waited)
}

func (d *diary) OnAnswer(e producer.AnswerEvent) {
	d.note("answer %s/%d from %s: %d records, %q after %v", e.Topic, e.Partition, name(e.Agent), e.Records, producer.ReasonOf(e.Err), e.Latency)
}

func (d *diary) OnBatchDone(e producer.BatchDoneEvent) {
	d.note("done %s/%d: %d records, %v, %q after %v", e.Topic, e.Partition, e.Records, e.Outcome, producer.ReasonOf(e.Err), e.Age)
}

func (d *diary) OnRetry(e producer.RetryEvent) {
	d.note("retry %s/%d from %s: %d records, attempt %d, %q", e.Topic, e.Partition, name(e.Agent), e.Records, e.Attempt, producer.ReasonOf(e.Err))
}

func (d *diary) OnThrottle(e producer.ThrottleEvent) {
	d.note("throttle %s/%d from %s: %v, %q", e.Topic, e.Partition, name(e.Agent), e.Delay, producer.ReasonOf(e.Err))
}

func (d *diary) OnBufferFull(e producer.BufferFullEvent) {
	d.note("full: %q after %v", producer.ReasonOf(e.Err), e.Waited)
}

func (d *diary) OnHedge(e producer.HedgeEvent) {
	d.note("hedge from %s: %d batches", name(e.Agent), e.Batches)
}

func (d *diary) OnBreakerChange(e producer.BreakerEvent) {
	d.note("breaker of %s %v: %q", name(e.Agent), e.State, producer.ReasonOf(e.Err))
}

func (d *diary) OnConnect(e producer.ConnectEvent) {
	d.note("connect %s: %q", name(e.Agent), producer.ReasonOf(e.Err))
}

func (d *diary) OnDisconnect(e producer.DisconnectEvent) {
	d.note("disconnect %s: %q after %v", name(e.Agent), producer.ReasonOf(e.Err), e.Lifetime)
}

func name(address string) string { return strings.TrimPrefix(address, producertest.Address("")) }

// want compares what was heard since the last time, line by line.
func (d *diary) want(t *testing.T, want ...string) {
	t.Helper()
	got := d.take()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Fatalf("the hooks heard\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// observed runs a story with a diary.
func observed(t *testing.T, opts []producer.Option, story func(w *world, d *diary)) {
	t.Helper()
	d := &diary{}
	inWorld(t, append(opts, producer.WithHooks(d)), func(w *world) { story(w, d) })
}

func TestHooksFollowABatch(t *testing.T) {
	observed(t, options(producer.WithLinger(5*time.Millisecond)), func(w *world, d *diary) {
		w.script(func(*producertest.Attempt) producertest.Reply {
			return producertest.Reply{Delay: 30 * time.Millisecond}
		})
		w.send(0, 2)
		w.flush()
		d.want(t,
			"start",
			"connect a: \"\"",
			"sent orders/0 to a: 3 records, attempt 1, after 0s",
			"answer orders/0 from a: 3 records, \"\" after 30ms",
			"done orders/0: 3 records, done, \"\" after 30ms",
		)
		w.send(3, 3)
		time.Sleep(time.Second)
		d.want(t,
			"sent orders/0 to a: 1 records, attempt 1, after 5ms",
			"answer orders/0 from a: 1 records, \"\" after 30ms",
			"done orders/0: 1 records, done, \"\" after 35ms",
		)
		time.Sleep(2 * time.Minute)
		d.want(t, "disconnect a: \"\" after 1m0.035s") // idle, so it is no error
		if err := w.producer.Close(w.Context()); err != nil {
			t.Fatal(err)
		}
		d.want(t, "close")
	})
}

func TestHooksTellRetriesByReason(t *testing.T) {
	observed(t, nil, func(w *world, d *diary) {
		w.script(once(0, reason.New(reason.Overloaded, "full").After(3*time.Second)))
		w.send(0, 0)
		w.flush()
		d.want(t,
			"start",
			"connect a: \"\"",
			"sent orders/0 to a: 1 records, attempt 1, after 0s",
			"answer orders/0 from a: 1 records, \"OVERLOADED\" after 0s",
			"throttle orders/0 from a: 3s, \"OVERLOADED\"",
			"retry orders/0 from a: 1 records, attempt 1, \"OVERLOADED\"",
			"sent orders/0 to a: 1 records, attempt 2, after 3s",
			"answer orders/0 from a: 1 records, \"\" after 0s",
			"done orders/0: 1 records, done, \"\" after 3s",
		)
	})
}

func TestHooksTellOfLostStreams(t *testing.T) {
	observed(t, nil, func(w *world, d *diary) {
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Try == 1 {
				return producertest.Reply{Break: status.Error(codes.Unavailable, "broken")}
			}
			return producertest.Reply{}
		})
		w.send(0, 0)
		w.flush()
		d.want(t,
			"start",
			"connect a: \"\"",
			"sent orders/0 to a: 1 records, attempt 1, after 0s",
			"disconnect a: \"UNAVAILABLE\" after 0s",
			"retry orders/0 from a: 1 records, attempt 1, \"UNAVAILABLE\"",
			"connect a: \"\"",
			"sent orders/0 to a: 1 records, attempt 2, after 0s",
			"answer orders/0 from a: 1 records, \"\" after 0s",
			"done orders/0: 1 records, done, \"\" after 0s",
		)
	})
}

func TestHooksTellOfHedges(t *testing.T) {
	observed(t, single(), func(w *world, d *diary) {
		w.measured(20 * ms)
		w.script(func(a *producertest.Attempt) producertest.Reply { return producertest.Reply{Silent: a.Stream == 1} })
		d.take()
		w.send(40, 40)
		w.flush()
		lines := d.take()
		if len(lines) != 8 || lines[1] != "hedge from a: 1 batches" || !strings.HasPrefix(lines[2], "disconnect a: \"UNAVAILABLE\"") ||
			lines[3] != "retry orders/0 from a: 1 records, attempt 1, \"UNAVAILABLE\"" || !strings.HasPrefix(lines[5], "sent orders/0 to a: 1 records, attempt 2") {
			t.Errorf("the hooks heard\n%s", strings.Join(lines, "\n"))
		}
	})
}

func TestHooksTellOfAgentsOutOfReach(t *testing.T) {
	observed(t, options(producer.WithDeliveryTimeout(300*time.Millisecond), producer.WithLinger(0)), func(w *world, d *diary) {
		w.send(0, 0)
		w.flush()
		d.take()
		w.cluster.Kill("a")
		synctest.Wait()
		d.want(t, "disconnect a: \"UNAVAILABLE\" after 0s")
		w.send(1, 1)
		w.flushFailing(producer.ErrDeliveryTimeout)
		lines := strings.Join(d.take(), "\n")
		if !strings.Contains(lines, "connect a: \"UNAVAILABLE\"") || strings.Contains(lines, "sent") ||
			!strings.HasSuffix(lines, "done orders/0: 1 records, not done, \"DELIVERY_TIMEOUT\" after 300ms") {
			t.Errorf("the hooks heard\n%s", lines)
		}
	})
}

func TestHooksTellOfBreakers(t *testing.T) {
	breaks := options(producer.WithLinger(0), producer.WithCircuitBreaker(producer.CircuitBreakerPolicy{Failures: 2, OpenFor: 10 * time.Second}))
	observed(t, breaks, func(w *world, d *diary) {
		w.send(0, 0)
		w.flush()
		w.cluster.Kill("a")
		w.send(1, 1)
		time.Sleep(5 * time.Second)
		s := w.producer.Stats()
		if len(s.Agents) != 1 || s.Agents[0].Breaker != producer.BreakerOpen || s.Agents[0].Streams != 0 {
			t.Errorf("agents are %+v", s.Agents)
		}
		time.Sleep(10 * time.Second)
		w.cluster.Start("a")
		w.flush()
		var got []string
		for _, line := range d.take() {
			if strings.HasPrefix(line, "breaker") {
				got = append(got, line)
			}
		}
		want := []string{
			`breaker of a open: "UNAVAILABLE"`, `breaker of a half-open: ""`, `breaker of a open: "UNAVAILABLE"`,
			`breaker of a half-open: ""`, `breaker of a closed: ""`,
		}
		if !slices.Equal(got, want) {
			t.Errorf("the hooks heard\n%s", strings.Join(got, "\n"))
		}
		if s := w.producer.Stats(); len(s.Agents) != 1 || s.Agents[0].Breaker != producer.BreakerClosed {
			t.Errorf("agents are %+v", s.Agents)
		}
	})
}

func TestHooksTellOfAFullBuffer(t *testing.T) {
	full := options(producer.WithMaxBufferedRecords(2), producer.WithBatchRecords(1))
	observed(t, full, func(w *world, d *diary) {
		w.script(func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Delay: time.Second} })
		w.send(0, 1)
		d.take()
		w.send(2, 2)
		if lines := strings.Join(d.take(), "\n"); !strings.Contains(lines, "full: \"\" after 1s") {
			t.Errorf("the hooks heard\n%s", lines)
		}
		ctx, cancel := context.WithTimeout(w.Context(), time.Millisecond)
		defer cancel()
		w.producer.SendAsync(ctx, producer.Record{}, nil)
		w.flushFailing(context.DeadlineExceeded)
		if lines := strings.Join(d.take(), "\n"); !strings.Contains(lines, "full: \"DEADLINE_EXCEEDED\" after 1ms") {
			t.Errorf("the hooks heard\n%s", lines)
		}
	})
	observed(t, append(full, producer.WithFailWhenFull()), func(w *world, d *diary) {
		w.send(0, 2)
		w.flush()
		if lines := strings.Join(d.take(), "\n"); !strings.Contains(lines, "full: \"BUFFER_FULL\" after 0s") {
			t.Errorf("the hooks heard\n%s", lines)
		}
	})
}

// sizes is a hook that notes the sizes of what is sent.
type sizes struct{ events []producer.BatchSentEvent }

func (s *sizes) OnBatchSent(e producer.BatchSentEvent) { s.events = append(s.events, e) }

func TestHooksTellSizesBeforeAndAfterCompression(t *testing.T) {
	s := &sizes{}
	inWorld(t, options(producer.WithHooks(s), producer.WithCompression(producer.Zstd)), func(w *world) {
		w.producer.SendAsync(w.Context(), producer.Record{Value: make([]byte, 10_000)}, nil)
		w.flush()
		sent := w.gotAttempts()[0]
		if e := s.events[0]; e.SentBytes != len(sent.Data) || e.SentBytes > 1000 || e.Bytes < 10_000 || e.Bytes > 10_200 {
			t.Errorf("told of %d bytes, sent as %d; the agent got %d", e.Bytes, e.SentBytes, len(sent.Data))
		}
	})
}

type misspelt struct{}

func (misspelt) OnRetry(*producer.RetryEvent) {}

type onPointer struct{}

func (*onPointer) OnRetry(producer.RetryEvent) {}

type half struct{ *diary }

func (half) OnRetry() {}

func TestWithHooksRefusesWhatWouldNeverBeCalled(t *testing.T) {
	for _, c := range []struct {
		hook any
		want string
	}{
		{nil, "nil"},
		{struct{}{}, "no method of a Hook interface"},
		{onPointer{}, "on the pointer only"},
		{misspelt{}, "its OnRetry differs in its parameters"},
		{half{&diary{}}, "its OnRetry differs in its parameters"},
	} {
		p, err := producer.New(t.Context(), "localhost:1", producer.WithHooks(c.hook))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("hook %T: %v, want an error with %q", c.hook, err, c.want)
		}
		if p != nil {
			_ = p.Close(t.Context())
		}
	}
}

// A hook under a lock of the library would wait for itself here.
type reentrant struct {
	diary
	p     *producer.Producer
	calls int
}

func (r *reentrant) OnStart(p *producer.Producer) { r.p = p }

func (r *reentrant) use() {
	r.mu.Lock()
	r.calls++
	n := r.calls
	r.mu.Unlock()
	r.p.Stats()
	if n < 100 {
		for partition := range int32(3) {
			r.p.SendAsync(context.Background(), producer.Record{Partition: partition, Value: []byte("again")}, nil)
		}
	}
}

func (r *reentrant) OnBatchSent(producer.BatchSentEvent)   { r.use() }
func (r *reentrant) OnAnswer(producer.AnswerEvent)         { r.use() }
func (r *reentrant) OnBatchDone(producer.BatchDoneEvent)   { r.use() }
func (r *reentrant) OnRetry(producer.RetryEvent)           { r.use() }
func (r *reentrant) OnThrottle(producer.ThrottleEvent)     { r.use() }
func (r *reentrant) OnBufferFull(producer.BufferFullEvent) { r.use() }
func (r *reentrant) OnBreakerChange(producer.BreakerEvent) { r.use() }
func (r *reentrant) OnConnect(producer.ConnectEvent)       { r.use() }
func (r *reentrant) OnDisconnect(producer.DisconnectEvent) { r.use() }

func TestHooksAreCalledUnderNoLock(t *testing.T) {
	r := &reentrant{}
	inWorld(t, options(producer.WithHooks(r), producer.WithLinger(0)), func(w *world) {
		var refused atomic.Bool
		w.script(func(a *producertest.Attempt) producertest.Reply {
			if a.Partition == 0 && !refused.Swap(true) {
				return producertest.Reply{Err: reason.New(reason.Overloaded, "full").After(time.Second)}
			}
			return producertest.Reply{}
		})
		w.send(0, 5)
		time.Sleep(time.Minute)
		w.cluster.Kill("a")
		w.cluster.Start("a")
		w.send(6, 9)
		time.Sleep(time.Minute)
		w.flush()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.calls < 10 {
			t.Errorf("%d calls", r.calls)
		}
	})
}

// follower is a record hook that stamps records and counts their ends.
type follower struct {
	mu    sync.Mutex
	ended []string
}

type stampKey struct{}

func (f *follower) OnRecord(ctx context.Context, rec *producer.Record) func(producer.Ack, error) {
	stamp, _ := ctx.Value(stampKey{}).(string)
	if stamp == "" {
		return nil
	}
	rec.Headers = append(slices.Clip(rec.Headers), producer.Header{Key: "stamp", Value: []byte(stamp)})
	on := rec.Topic
	return func(ack producer.Ack, err error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.ended = append(f.ended, fmt.Sprintf("%s on %s at %d: %s", stamp, on, ack.Offset, producer.ReasonOf(err)))
	}
}

func TestRecordHookFollowsEveryRecord(t *testing.T) {
	f := &follower{}
	inWorld(t, options(producer.WithHooks(f), producer.WithLinger(0)), func(w *world) {
		ctx := context.WithValue(w.Context(), stampKey{}, "s1")
		mine := make([]producer.Header, 1, 4)
		mine[0] = producer.Header{Key: "mine"}
		w.producer.SendAsync(w.Context(), producer.Record{Value: []byte("0")}, nil) // not stamped
		w.producer.SendAsync(ctx, producer.Record{Value: []byte("1"), Headers: mine}, w.callback(1))
		if _, err := w.producer.Send(ctx, producer.Record{Value: []byte("2")}); err != nil {
			t.Fatal(err)
		}
		w.producer.SendAsync(ctx, producer.Record{Partition: 77}, w.callback(3))
		_ = w.producer.Flush(w.Context()) // record 3 has a callback that hears of it
		if _, err := w.producer.Send(ctx, producer.Record{Topic: "nowhere"}); !errors.Is(err, reason.UnknownTopic) {
			t.Fatal(err)
		}
		if mine[:2][1].Key != "" {
			t.Error("the caller's headers were written to")
		}
		log := w.cluster.Records(topic, 0)
		if len(log) != 3 || len(log[0].Headers) != 0 || len(log[1].Headers) != 2 || string(log[1].Headers[1].Value) != "s1" {
			t.Errorf("the log holds %+v", log)
		}
		if len(w.gotResults()) != 2 {
			t.Errorf("%d callbacks, want 2", len(w.gotResults()))
		}
	})
	want := "s1 on orders at 1: , s1 on orders at 2: , s1 on orders at 0: INVALID_PARTITION, s1 on nowhere at 0: UNKNOWN_TOPIC"
	if got := strings.Join(f.ended, ", "); got != want {
		t.Errorf("ended: %s\nwant: %s", got, want)
	}
}

func TestReasonOf(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{nil, ""},
		{reason.NotOwner, "NOT_OWNER"},
		{&producer.Error{Err: reason.New(reason.TooLarge, "x")}, "TOO_LARGE"},
		{&producer.Error{Err: fmt.Errorf("%w: %w", producer.ErrDeliveryTimeout, reason.New(reason.NotOwner, "x"))}, "DELIVERY_TIMEOUT"},
		{status.Error(codes.DeadlineExceeded, "x"), "DEADLINE_EXCEEDED"},
		{&reason.Error{Code: codes.Unavailable, Reason: "OF_A_LATER_VERSION"}, "UNAVAILABLE"},
		{&reason.Error{Code: 4711}, "UNKNOWN"},
		{context.Canceled, "CANCELED"},
		{errors.New("who knows"), "UNKNOWN"},
	} {
		if got := producer.ReasonOf(c.err); got != c.want {
			t.Errorf("ReasonOf(%v) = %q, want %q", c.err, got, c.want)
		}
	}
}

// A record that no hook follows stays on the stack, and events of batches are
// values.
func TestHooksOfBatchesDoNotAllocatePerRecord(t *testing.T) {
	for _, opts := range [][]producer.Option{nil, options(producer.WithHooks(&counters{}))} {
		inWorld(t, append(opts, producer.WithBatchRecords(1000), producer.WithLinger(time.Hour), producer.WithDeliveryTimeout(2*time.Hour)), func(w *world) {
			rec := producer.Record{Value: make([]byte, 100)}
			w.producer.SendAsync(w.Context(), rec, nil) // looks the topic up
			perRecord := testing.AllocsPerRun(800, func() { w.producer.SendAsync(w.Context(), rec, nil) })
			if perRecord >= 1 {
				t.Errorf("%v allocations per record", perRecord)
			}
			w.flush()
		})
	}
}
