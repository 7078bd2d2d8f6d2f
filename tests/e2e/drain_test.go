package e2e

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// The predecessor released its leases before it flushed, and only on SIGINT,
// which no orchestrator sends (hole 5). Under load, each end must be in order,
// and what was acknowledged must be there afterwards.
func TestSIGTERMUnderLoad(t *testing.T) {
	const partitions = 3
	a := process.StartAgent(t, noCeiling, "--drain-timeout=20s")
	a.CreateTopic("drain", partitions)
	l := startLoad(t, a, "drain", partitions, seed(t))
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGTERM} {
		l.more(t, 1000)
		start := time.Now()
		a.Signal(sig)
		if code := a.Wait(); code != 0 {
			t.Fatalf("exit code %d after %v, want 0\n%s", code, sig, a.Log())
		}
		if took := time.Since(start); took > 20*time.Second {
			t.Errorf("the drain took %v, longer than its limit", took)
		}
		a.Start()
	}
	l.more(t, 1000)
	l.stop(t)
	c := a.Client()
	log := l.history.Verify(t, c.Topics, c.Consumer, "drain")
	counts := l.history.Counts()
	t.Logf("%v; %d records in the log", counts, log.Records())
	if counts.Acked != counts.Sent {
		t.Errorf("%v: a shutdown must not fail a record of a producer that retries", counts)
	}
}

// What an agent has taken when SIGTERM comes is made durable and answered
// before it ends, though the store is slow; what comes later is refused.
func TestSIGTERMAnswersWhatIsInFlight(t *testing.T) {
	t.Parallel()
	const n = 50
	a := process.StartAgent(t, noCeiling, "--store-put-latency=2s/2s")
	id := a.CreateTopic("drain", 2)
	a.CreateTopic("late", 1)
	c := a.Client()
	s := openStream(t, c)
	sent := 0
	for i := range uint64(n) {
		b := encode(batch.None, 1, i/2, fmt.Sprint(i))
		s.send(&streamhousev1.ProduceBatch{RequestId: i, TopicId: id, Partition: uint32(i % 2), Batch: b})
		sent += len(b)
	}
	eventually(t, "all batches taken", func() bool {
		stats, err := c.Agent.GetStats(t.Context(), &streamhousev1.GetStatsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return stats.GetBufferedBytes() >= uint64(sent)
	})
	a.Signal(syscall.SIGTERM)
	requireLateRefused(t, a, c)
	answers, err := s.rest()
	requireReason(t, err, reason.Draining)
	if len(answers) != n {
		t.Errorf("%d answers, want %d", len(answers), n)
	}
	for _, answer := range answers {
		if want := answer.GetRequestId() / 2; answer.GetError() != nil || answer.GetBaseOffset() != want {
			t.Errorf("answer %v, want offset %d", answer, want)
		}
	}
	if code := a.Wait(); code != 0 {
		t.Fatalf("exit code %d, want 0", code)
	}
	a.Flags = nil
	a.Start()
	for p := range uint32(2) {
		page, err := a.Client().Consumer.FetchRecords(t.Context(), &streamhousev1.FetchRequest{Topic: "drain", Partition: p})
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range page.GetRecords() {
			if want := fmt.Sprint(i*2 + int(p)); string(r.GetRecord().GetValue()) != want {
				t.Errorf("partition %d holds %q at offset %d, want %q", p, r.GetRecord().GetValue(), i, want)
			}
		}
		if got := page.GetEndOffset(); got != n/2 {
			t.Errorf("partition %d ends at %d, want %d", p, got, n/2)
		}
	}
}

// requireLateRefused waits until a batch that comes now is refused: the agent
// says that it drains a moment before it does.
func requireLateRefused(t *testing.T, a *process.Agent, c *process.Client) {
	t.Helper()
	a.AwaitLog("msg=draining limit")
	_, err := c.Topics.CreateTopic(t.Context(), &streamhousev1.CreateTopicRequest{Name: "too-late", PartitionCount: 1})
	requireReason(t, err, reason.Draining)
	late := &streamhousev1.ProduceRequest{Topic: "late", Records: []*streamhousev1.Record{{}}}
	for range 2 {
		if _, err := c.Producer.Produce(t.Context(), late); err != nil {
			requireReason(t, err, reason.Draining)
			return
		}
	}
	t.Error("a draining agent takes batches")
}

// After a drain nothing is left to be taken over: the partitions have no owner,
// and the next agent is their next. The drain used to give partitions back and
// take them again before its end, when a heartbeat's round fell in between.
func TestDrainGivesPartitionsBack(t *testing.T) {
	t.Parallel()
	const partitions = 32
	a := process.StartAgent(t, noCeiling, "--session-heartbeat=5ms", "--session-lease=1s",
		"--store-put-latency=100ms/100ms", "--store-commit-latency=30ms/60ms")
	a.CreateTopic("back", partitions)
	describe := func() []*streamhousev1.Partition {
		found, err := a.Client().Topics.DescribeTopic(t.Context(), &streamhousev1.DescribeTopicRequest{Name: "back"})
		if err != nil {
			t.Fatal(err)
		}
		return found.GetPartitions()
	}
	for epoch := uint64(1); epoch < 5; epoch++ {
		for _, p := range describe() {
			if p.GetEpoch() != epoch {
				t.Errorf("partition %d is in epoch %d after %d starts", p.GetPartition(), p.GetEpoch(), epoch)
			}
		}
		if code := a.Terminate(); code != 0 {
			t.Fatalf("exit code %d, want 0", code)
		}
		if strings.Contains(a.Log(), "level=WARN") {
			t.Errorf("a drain without trouble warns:\n%s", a.Log())
		}
		a.Start()
		if strings.Contains(a.Log(), "took over") {
			t.Errorf("after a drain there was something to take over:\n%s", a.Log())
		}
	}
}

// Who sends a second signal does not want to wait for the drain.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		signal syscall.Signal
		code   int
	}{
		"SIGTERM": {syscall.SIGTERM, 143},
		"SIGINT":  {syscall.SIGINT, 130},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := process.StartAgent(t, noCeiling, "--store-put-latency=30s/30s", "--drain-timeout=50s")
			id := a.CreateTopic("slow", 1)
			c := a.Client()
			openStream(t, c).send(&streamhousev1.ProduceBatch{TopicId: id, Batch: encode(batch.None, 1, 0, "x")})
			eventually(t, "the batch is taken", func() bool {
				stats, err := c.Agent.GetStats(t.Context(), &streamhousev1.GetStatsRequest{})
				return err == nil && stats.GetBufferedBytes() > 0
			})
			a.Signal(syscall.SIGTERM)
			a.AwaitLog("draining; a second signal ends at once")
			start := time.Now()
			a.Signal(test.signal)
			if code := a.Wait(); code != test.code {
				t.Errorf("exit code %d, want %d\n%s", code, test.code, a.Log())
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("it ended after %v, want at once", took)
			}
			if !strings.Contains(a.Log(), "ended without a drain") {
				t.Errorf("the log does not say that there was no drain:\n%s", a.Log())
			}
		})
	}
}

// A drain that cannot end says so instead of pretending.
func TestDrainTimeout(t *testing.T) {
	t.Parallel()
	a := process.StartAgent(t, noCeiling, "--store-put-latency=30s/30s", "--drain-timeout=200ms")
	id := a.CreateTopic("slow", 1)
	c := a.Client()
	openStream(t, c).send(&streamhousev1.ProduceBatch{TopicId: id, Batch: encode(batch.None, 1, 0, "x")})
	eventually(t, "the batch is taken", func() bool {
		stats, err := c.Agent.GetStats(t.Context(), &streamhousev1.GetStatsRequest{})
		return err == nil && stats.GetBufferedBytes() > 0
	})
	start := time.Now()
	if code := a.Terminate(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the drain took %v, far longer than its limit of 200 ms", took)
	}
}
