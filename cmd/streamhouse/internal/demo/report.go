package demo

import (
	"fmt"
	"io"
	"time"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/histogram"
	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/human"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/cost"
)

// Report is what a run that passed has to tell.
type Report struct {
	o             Options
	produce, read time.Duration
	latencies     *histogram.Histogram
	before, after *streamhousev1.GetStatsResponse
}

// Write writes the report; its last line says how many records were verified.
func (r *Report) Write(out io.Writer) error {
	segments := r.after.GetSegmentsCommitted() - r.before.GetSegmentsCommitted()
	stored := r.after.GetBytesCommitted() - r.before.GetBytesCommitted()
	used := requests(r.after).Minus(requests(r.before))
	prices := r.o.Prices
	records := int64(r.o.Records)
	put, commit := r.after.GetPutLatency(), r.after.GetCommitLatency()
	lines := []struct{ label, text string }{
		{"produced", fmt.Sprintf("%s records of %d bytes in %s: %s records/s, %s/s", human.Count(records), r.o.Size,
			human.Seconds(r.produce), human.Rate(records, r.produce), r.perSecond(r.produce))},
		{"acknowledged", fmt.Sprintf("p50 %s, p99 %s after the send, each once it was durable",
			human.Latency(r.latencies.Quantile(0.5)), human.Latency(r.latencies.Quantile(0.99)))},
		{"read back", fmt.Sprintf("in %s: %s records/s, %s/s", human.Seconds(r.read), human.Rate(records, r.read), r.perSecond(r.read))},
		{"stored", fmt.Sprintf("%s in %s segments, one PUT and one commit each (p50 %.1f ms and %.1f ms)",
			human.Bytes(stored), human.Count(segments), put.GetP50Ms(), commit.GetP50Ms())},
		{"on AWS", fmt.Sprintf("$%.6f: S3 $%.6f for %s and %s,", prices.Total(used), prices.S3(used), counted(used.Puts+used.Lists, "PUT"), counted(used.Gets, "GET"))},
		{"", fmt.Sprintf("DynamoDB $%.6f for %s and %s", prices.DynamoDB(used), counted(used.RowWrites, "write"), counted(used.RowReads, "read"))},
		{"", "(" + prices.Source + ")"},
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(out, "%-14s%s\n", l.label, l.text); err != nil {
			return fmt.Errorf("write report: %w", err)
		}
	}
	_, err := fmt.Fprintf(out, "verified %d records\n", r.o.Records)
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func requests(s *streamhousev1.GetStatsResponse) cost.Requests {
	return cost.Count(s.GetStoreRequests(), s.GetReadUnits(), s.GetWriteUnits())
}

func (r *Report) perSecond(d time.Duration) string {
	return human.Bytes(int64(float64(r.o.Records) * float64(r.o.Size) / d.Seconds()))
}

func counted(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return human.Count(n) + " " + what + "s"
}
