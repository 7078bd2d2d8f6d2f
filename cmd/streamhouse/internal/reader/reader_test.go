package reader

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/record"
	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
)

// script answers fetches by a function.
type script func(ctx context.Context, in *streamhousev1.FetchRequest) (*streamhousev1.FetchResponse, error)

func (s script) Fetch(ctx context.Context, in *streamhousev1.FetchRequest, _ ...grpc.CallOption) (*streamhousev1.FetchResponse, error) {
	return s(ctx, in)
}

// stored is a batch of records whose values are their offsets.
func stored(t *testing.T, base uint64, count int) *streamhousev1.FetchedBatch {
	t.Helper()
	var b batch.Builder
	for i := range count {
		b.Append(&batch.Record{Timestamp: int64(i), Value: fmt.Append(nil, base+uint64(i))})
	}
	return &streamhousev1.FetchedBatch{BaseOffset: base, Batch: b.Seal(0, 0)}
}

// fiveABatch serves a log of offsets 0 to end-1 in batches of five.
func fiveABatch(t *testing.T, end uint64) script {
	t.Helper()
	return func(ctx context.Context, in *streamhousev1.FetchRequest) (*streamhousev1.FetchResponse, error) {
		if in.GetOffset() >= end {
			<-ctx.Done()
			return nil, status.FromContextError(ctx.Err()).Err()
		}
		base := in.GetOffset() / 5 * 5
		answer := &streamhousev1.FetchResponse{EndOffset: end}
		for range 2 {
			if n := min(5, int(end)-int(base)); n > 0 {
				answer.Batches = append(answer.Batches, stored(t, base, n))
			}
			base += 5
		}
		return answer, nil
	}
}

// log notes what a visitor saw.
type log struct {
	values []string
	pauses int
	fail   error
	failAt int
}

func (l *log) Visit(r *record.Record) error {
	if l.fail != nil && len(l.values) == l.failAt {
		return l.fail
	}
	if want := fmt.Sprint(r.Offset); string(r.Value) != want {
		return fmt.Errorf("offset %d has value %s", r.Offset, r.Value)
	}
	l.values = append(l.values, string(r.Value))
	return nil
}

func (l *log) Pause() error { l.pauses++; return nil }

func numbers(from, to int) []string {
	var s []string
	for i := from; i < to; i++ {
		s = append(s, fmt.Sprint(i))
	}
	return s
}

// Batches begin before the wanted offset and end after the last one: neither
// edge may leak, nor a record be left out between two fetches.
func TestReadRange(t *testing.T) {
	tests := map[string]struct{ at, from, to, wantFrom, wantTo uint64 }{
		"all":              {0, 0, 23, 0, 23},
		"inside a batch":   {7, 7, 13, 7, 13},
		"at batch edges":   {5, 5, 20, 5, 20},
		"nothing":          {5, 5, 5, 0, 0},
		"one":              {22, 22, 23, 22, 23},
		"wanted above at":  {5, 11, 20, 11, 20},
		"over two fetches": {3, 3, 19, 3, 19},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var got log
			r := Reader{Client: fiveABatch(t, 23), Topic: "t"}
			if err := r.Read(t.Context(), Range{At: tt.at, From: tt.from, To: tt.to}, &got); err != nil {
				t.Fatal(err)
			}
			if want := numbers(int(tt.wantFrom), int(tt.wantTo)); !reflect.DeepEqual(got.values, want) {
				t.Errorf("got %v, want %v", got.values, want)
			}
			if got.pauses == 0 {
				t.Error("the visitor was never paused: its last records would stay in its buffer")
			}
		})
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		var got log
		go func() {
			r := Reader{Client: fiveABatch(t, 7), Topic: "t"}
			done <- r.Read(ctx, Range{At: 0, To: NoEnd}, &got)
		}()
		synctest.Wait()
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("error %v", err)
		}
		if !reflect.DeepEqual(got.values, numbers(0, 7)) {
			t.Errorf("got %v", got.values)
		}
	})
}

// An agent that answers a wrong range must not pass for a log without those
// records.
func TestWrongAnswersAreErrors(t *testing.T) {
	damaged := stored(t, 0, 5)
	damaged.Batch[len(damaged.Batch)-1] ^= 1
	tests := map[string]struct {
		batches []*streamhousev1.FetchedBatch
		want    string
	}{
		"hole at the start": {[]*streamhousev1.FetchedBatch{stored(t, 3, 5)}, "offset 3 where 2 was due"},
		"hole inside":       {[]*streamhousev1.FetchedBatch{stored(t, 0, 5), stored(t, 6, 5)}, "offset 6 where 5 was due"},
		"too early":         {[]*streamhousev1.FetchedBatch{stored(t, 0, 2)}, "ends at offset 2"},
		"damaged":           {[]*streamhousev1.FetchedBatch{damaged}, "corrupt batch"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := Reader{Topic: "t", Client: script(func(context.Context, *streamhousev1.FetchRequest) (*streamhousev1.FetchResponse, error) {
				return &streamhousev1.FetchResponse{Batches: tt.batches}, nil
			})}
			err := r.Read(t.Context(), Range{At: 2, From: 2, To: 10}, &log{})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// A reader outlives an agent's restart, but not for ever, and does not repeat
// what cannot succeed.
func TestRetries(t *testing.T) {
	gone := status.Error(codes.Unavailable, "connection refused")
	tests := map[string]struct {
		err      error
		failures int
		wantErr  bool
		longest  time.Duration
	}{
		"passes":     {gone, 3, false, 10 * time.Second},
		"draining":   {reason.New(reason.Draining, "bye").After(5 * time.Second), 1, false, 6 * time.Second},
		"stays away": {gone, 1 << 30, true, 35 * time.Second},
		"permanent":  {reason.New(reason.UnknownTopic, "no"), 1 << 30, true, 0},
		"too large":  {status.Error(codes.ResourceExhausted, "message larger than max"), 1 << 30, true, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls, serve := 0, fiveABatch(t, 10)
				client := script(func(ctx context.Context, in *streamhousev1.FetchRequest) (*streamhousev1.FetchResponse, error) {
					if calls++; calls <= tt.failures {
						return nil, tt.err
					}
					return serve(ctx, in)
				})
				r := Reader{Client: client, Topic: "t", Patience: 30 * time.Second}
				start := time.Now()
				err := r.Read(t.Context(), Range{To: 10}, &log{})
				if (err != nil) != tt.wantErr || tt.wantErr && !errors.Is(err, tt.err) {
					t.Errorf("error %v", err)
				}
				if took := time.Since(start); took > tt.longest {
					t.Errorf("took %v, more than %v", took, tt.longest)
				}
			})
		})
	}
}

// A machine that vanished without closing its connection must not hold a
// reader for ever.
func TestSilenceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := Reader{Topic: "t", Patience: time.Minute, Client: script(func(ctx context.Context, _ *streamhousev1.FetchRequest) (*streamhousev1.FetchResponse, error) {
			<-ctx.Done()
			return nil, status.FromContextError(ctx.Err()).Err()
		})}
		start := time.Now()
		if err := r.Read(t.Context(), Range{To: 1}, &log{}); status.Code(errors.Unwrap(err)) != codes.DeadlineExceeded {
			t.Errorf("error %v", err)
		}
		if took := time.Since(start); took > 5*time.Minute {
			t.Errorf("took %v", took)
		}
	})
}
