package producer_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// value is what the record in question holds.
const value = "the record"

func (w *world) sendValue(ctx context.Context) error {
	_, err := w.producer.Send(ctx, producer.Record{Value: []byte(value)})
	return err
}

// refusing has agents answer each batch's tries in turn with these errors, nil
// for what works, the last for all further ones.
func (w *world) refusing(errs ...*reason.Error) {
	w.script(func(a *producertest.Attempt) producertest.Reply {
		return producertest.Reply{Err: errs[min(a.Try, len(errs))-1]}
	})
}

// closeAfter closes the producer, out of patience after a second.
func (w *world) closeAfter() {
	ctx, cancel := context.WithTimeout(w.Context(), time.Second)
	defer cancel()
	_ = w.producer.Close(ctx) // the records' errors are what counts
}

// whileClosing sends the record, closes the producer and returns what Send
// did.
func (w *world) whileClosing() error {
	sent := make(chan error)
	go func() { sent <- w.sendValue(w.Context()) }()
	synctest.Wait()
	go w.closeAfter()
	return <-sent
}

func within(w *world, d time.Duration) error {
	ctx, cancel := context.WithTimeout(w.Context(), d)
	defer cancel()
	return w.sendValue(ctx)
}

// Every way in which a record can fail, and what is said of it then. Where that
// is 'not done', it is looked for in the log, also later.
func TestOutcomes(t *testing.T) {
	var (
		full      = producer.WithMaxBufferedRecords(1)
		overload  = overloaded()
		storage   = reason.New(reason.StorageFailed, "no")
		tooLarge  = reason.New(reason.TooLarge, "no")
		notOwner  = reason.New(reason.NotOwner, "no")
		fenced    = reason.New(reason.Fenced, "no")
		conflict  = reason.New(reason.SequenceConflict, "no")
		impatient = producer.WithDeliveryTimeout(5 * time.Second)
		silent    = func(*producertest.Attempt) producertest.Reply { return producertest.Reply{Append: true, Silent: true} }
	)
	for name, c := range map[string]struct {
		opts  []producer.Option
		fail  func(w *world) error
		want  producer.Outcome
		cause error // nil for a status without a reason
	}{
		"context over before": {nil, func(w *world) error {
			w.send(0, 0)
			w.flush()
			ctx, cancel := context.WithCancel(w.Context())
			cancel()
			return w.sendValue(ctx)
		}, producer.NotDone, context.Canceled},
		"context over while looking the topic up": {nil, func(w *world) error {
			w.cluster.OnDescribe(func(string) error { return status.Error(codes.Unavailable, "down") })
			ctx, cancel := context.WithTimeout(w.Context(), time.Second)
			defer cancel()
			_, err := w.producer.Send(ctx, producer.Record{Topic: "another"})
			return err
		}, producer.NotDone, context.DeadlineExceeded},
		"context over while there is no room": {options(full, producer.WithBatchRecords(1)), func(w *world) error {
			w.script(silent)
			w.send(0, 0)
			return within(w, time.Second)
		}, producer.NotDone, context.DeadlineExceeded},
		"context over while the batch fills": {options(producer.WithLinger(10 * time.Second)), func(w *world) error {
			return within(w, time.Second)
		}, producer.Unknown, context.DeadlineExceeded},
		"context over on the way": {nil, func(w *world) error {
			w.script(silent)
			return within(w, time.Second)
		}, producer.Unknown, context.DeadlineExceeded},

		"closed before": {nil, func(w *world) error {
			w.closeAfter()
			return w.sendValue(w.Context())
		}, producer.NotDone, producer.ErrClosed},
		"closed while in flight": {nil, func(w *world) error {
			w.script(silent)
			return w.whileClosing()
		}, producer.Unknown, producer.ErrClosed},
		"closed while there is no agent": {nil, func(w *world) error {
			w.send(0, 0)
			w.flush()
			w.cluster.Kill("a")
			synctest.Wait()
			return w.whileClosing()
		}, producer.NotDone, producer.ErrClosed},
		"closed after a clear refusal": {nil, func(w *world) error {
			w.refusing(overload.After(time.Minute))
			return w.whileClosing()
		}, producer.NotDone, producer.ErrClosed},
		"closed after a doubtful refusal": {nil, func(w *world) error {
			w.refusing(storage.After(time.Minute))
			return w.whileClosing()
		}, producer.Unknown, producer.ErrClosed},

		"no topic": {nil, func(w *world) error {
			_, err := w.producer.Send(w.Context(), producer.Record{Topic: "nope"})
			return err
		}, producer.NotDone, reason.UnknownTopic},
		"no such partition": {nil, func(w *world) error {
			_, err := w.producer.Send(w.Context(), producer.Record{Partition: 9})
			return err
		}, producer.NotDone, producer.ErrInvalidPartition},
		"larger than a batch": {nil, func(w *world) error {
			_, err := w.producer.Send(w.Context(), producer.Record{Value: make([]byte, 16<<20)})
			return err
		}, producer.NotDone, producer.ErrRecordTooLarge},
		"buffer full": {options(full, producer.WithBatchRecords(1), producer.WithFailWhenFull()), func(w *world) error {
			w.script(silent)
			w.send(0, 0)
			return w.sendValue(w.Context())
		}, producer.NotDone, producer.ErrBufferFull},

		"refused for good": {nil, func(w *world) error {
			w.refusing(tooLarge)
			return w.sendValue(w.Context())
		}, producer.NotDone, reason.TooLarge},
		"refused for good after doubt": {nil, func(w *world) error {
			w.refusing(storage, tooLarge)
			return w.sendValue(w.Context())
		}, producer.Unknown, reason.TooLarge},
		"refused for good after a clear refusal": {nil, func(w *world) error {
			w.refusing(overload, notOwner, tooLarge)
			return w.sendValue(w.Context())
		}, producer.NotDone, reason.TooLarge},
		"gRPC's limit": {nil, func(w *world) error {
			w.script(func(*producertest.Attempt) producertest.Reply {
				return producertest.Reply{Break: producertest.Status(codes.ResourceExhausted, "grpc: received message larger than max (5 vs. 4)")}
			})
			return w.sendValue(w.Context())
		}, producer.NotDone, nil},
		"credentials, at once": {options(producer.WithPerRPCCredentials(noToken{})), func(w *world) error {
			return w.sendValue(w.Context())
		}, producer.NotDone, nil},
		"credentials, in flight": {nil, func(w *world) error {
			w.script(func(*producertest.Attempt) producertest.Reply {
				return producertest.Reply{Append: true, Break: producertest.Status(codes.Unauthenticated, "expired")}
			})
			return w.sendValue(w.Context())
		}, producer.Unknown, nil},
		"a producer id that is lost": {nil, func(w *world) error {
			w.refusing(conflict)
			return w.sendValue(w.Context())
		}, producer.Unknown, reason.SequenceConflict},

		"overloaded too long": {nil, func(w *world) error {
			w.refusing(overload)
			return w.sendValue(w.Context())
		}, producer.NotDone, producer.ErrRetriesExhausted},
		"storage down too long": {nil, func(w *world) error {
			w.refusing(storage)
			return w.sendValue(w.Context())
		}, producer.Unknown, producer.ErrRetriesExhausted},
		"busy, without a reason": {nil, func(w *world) error {
			w.refusing(&reason.Error{Code: codes.ResourceExhausted, Message: "slow down"})
			return w.sendValue(w.Context())
		}, producer.Unknown, producer.ErrRetriesExhausted},

		"no owner in time": {options(impatient), func(w *world) error {
			w.refusing(notOwner)
			return w.sendValue(w.Context())
		}, producer.NotDone, producer.ErrDeliveryTimeout},
		"fenced until it was too late": {options(impatient), func(w *world) error {
			w.refusing(fenced)
			return w.sendValue(w.Context())
		}, producer.Unknown, producer.ErrDeliveryTimeout},
		"no agent in time": {options(impatient), func(w *world) error {
			w.send(0, 0)
			w.flush()
			w.cluster.Kill("a")
			synctest.Wait()
			return w.sendValue(w.Context())
		}, producer.NotDone, producer.ErrDeliveryTimeout},
		"no answer in time": {options(impatient), func(w *world) error {
			w.script(silent)
			return w.sendValue(w.Context())
		}, producer.Unknown, producer.ErrDeliveryTimeout},
		"hedged, no answer in time": {options(impatient), func(w *world) error {
			w.measured(20 * ms)
			w.script(silent)
			err := w.sendValue(w.Context())
			if got := w.cluster.Counts().Streams; got < 2 {
				w.Errorf("%d streams: it was not sent again", got)
			}
			return err
		}, producer.Unknown, producer.ErrDeliveryTimeout},
		"hedged, then refused for good": {nil, func(w *world) error {
			w.measured(20 * ms)
			w.script(func(a *producertest.Attempt) producertest.Reply {
				if a.Try == 1 {
					return producertest.Reply{Silent: true}
				}
				return producertest.Reply{Err: tooLarge}
			})
			return w.sendValue(w.Context())
		}, producer.Unknown, reason.TooLarge},
		"a batch before it failed": {options(producer.WithBatchRecords(1)), func(w *world) error {
			w.measured(20 * ms)
			w.script(func(a *producertest.Attempt) producertest.Reply {
				switch {
				case a.Header.Sequence < 40:
					return producertest.Reply{}
				case a.Try == 1:
					return producertest.Reply{Silent: true}
				case a.Header.Sequence == 40:
					return producertest.Reply{Err: conflict}
				}
				return producertest.Reply{}
			})
			w.send(40, 40)
			return w.sendValue(w.Context())
		}, producer.Unknown, producer.ErrGivenUp},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, c.opts, func(w *world) {
				err := c.fail(w)
				if err == nil || producer.OutcomeOf(err) != c.want || c.cause != nil && !isError(err, c.cause) {
					w.Fatalf("got %v, want %v (%v)", err, c.cause, c.want)
				}
				var failure *producer.Error
				if !errors.As(err, &failure) || failure.Topic == "" {
					w.Errorf("not an *Error with its topic: %#v", err)
				}
				w.script(nil)
				time.Sleep(5 * time.Minute)
				for _, e := range w.cluster.Records(topic, 0) {
					if c.want == producer.NotDone && string(e.Value) == value {
						w.Errorf("it was said not to be done, and is in the log: %v", err)
					}
				}
			})
		})
	}
	if got := producer.OutcomeOf(nil); got != producer.Done {
		t.Errorf("no error: %v", got)
	}
	if got := producer.OutcomeOf(context.Canceled); got != producer.Unknown {
		t.Errorf("somebody else's error: %v", got)
	}
}
