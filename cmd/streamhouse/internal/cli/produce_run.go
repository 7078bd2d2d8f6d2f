package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/human"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/progress"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/record"
	"github.com/streamhouse/streamhouse/libs/producer"
)

// tally counts what became of the records.
type tally struct {
	acked, failed, unknown, bytes atomic.Int64
	first                         sync.Once
	firstErr                      error // guarded by first
}

// resolved is the callback of every record.
func (t *tally) resolved(_ producer.Ack, err error) {
	if err == nil {
		t.acked.Add(1)
		return
	}
	t.failed.Add(1)
	if producer.OutcomeOf(err) == producer.Unknown {
		t.unknown.Add(1)
	}
	t.first.Do(func() { t.firstErr = err })
}

// pump sends all that source yields, waits for every answer, and reports.
// After an interruption or an error of the input, what was read before is
// still delivered.
func (o *produceOptions) pump(cmd *cobra.Command, p *producer.Producer, source record.Source) error {
	var t tally
	start := time.Now()
	stop := progress.Watch(cmd.ErrOrStderr(), "produced", 0, t.acked.Load)
	defer stop()
	inputErr := o.sendAll(cmd.Context(), p, source, &t)
	ctx, cancel := o.limit(context.WithoutCancel(cmd.Context()))
	defer cancel()
	// Every failure that Close knows of was told to a callback before.
	_ = p.Close(ctx)
	elapsed := time.Since(start)
	stop()
	if err := o.summarize(cmd, &t, elapsed); err != nil {
		return err
	}
	if failed := t.failure(o.server); failed != nil {
		return errors.Join(failed, inputErr)
	}
	return inputErr
}

func (o *produceOptions) sendAll(ctx context.Context, p *producer.Producer, source record.Source, t *tally) error {
	resolved := t.resolved
	var r record.Record
	for {
		err := source.Next(&r)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		t.bytes.Add(int64(len(r.Key) + len(r.Value)))
		p.SendAsync(ctx, producer.Record{
			Key: r.Key, Value: r.Value, Headers: r.Headers, Timestamp: r.Timestamp, Partition: o.place(&r),
		}, resolved)
	}
}

func (o *produceOptions) place(r *record.Record) int32 {
	switch {
	case o.placed:
		return o.partition
	case o.keepPartitions:
		return int32(r.Partition)
	default:
		return record.AnyPartition
	}
}

// produced is the result as --output json shows it.
type produced struct {
	Records          int64   `json:"records"`
	Failed           int64   `json:"failed"`
	Bytes            int64   `json:"bytes"`
	Seconds          float64 `json:"seconds"`
	RecordsPerSecond float64 `json:"records_per_second"`
}

func (o *produceOptions) summarize(cmd *cobra.Command, t *tally, elapsed time.Duration) error {
	acked, bytes := t.acked.Load(), t.bytes.Load()
	if *o.output == jsonOutput {
		return printJSON(cmd, produced{
			Records: acked, Failed: t.failed.Load(), Bytes: bytes,
			Seconds: elapsed.Seconds(), RecordsPerSecond: float64(acked) / elapsed.Seconds(),
		})
	}
	fmt.Fprintf(cmd.OutOrStdout(), "produced %s, %s, in %s: %s records/s\n",
		recordsOf(acked), human.Bytes(bytes), human.Seconds(elapsed), human.Rate(acked, elapsed))
	return nil
}

// failure is nil when every record is durable.
func (t *tally) failure(server string) error {
	failed := t.failed.Load()
	if failed == 0 {
		return nil
	}
	outcome := "none of them is in the log"
	if unknown := t.unknown.Load(); unknown > 0 {
		outcome = human.Count(unknown) + " of them may be in the log all the same"
	}
	return fmt.Errorf("%s of %s failed (%s); the first: %s",
		human.Count(failed), recordsOf(failed+t.acked.Load()), outcome, advise(t.firstErr, server))
}

func recordsOf[T int64 | uint64](n T) string {
	if n == 1 {
		return "1 record"
	}
	return human.Count(n) + " records"
}
