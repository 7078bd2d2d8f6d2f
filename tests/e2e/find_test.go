package e2e

import (
	"testing"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// The offset of a time is the same while the agent remembers how old segments
// are, and after it was killed, when only the batches tell.
func TestFindOffset(t *testing.T) {
	t.Parallel()
	a := process.StartAgent(t, noCeiling)
	c := a.Client()
	a.CreateTopic("times", 2)
	times := []int64{100, 90, 300, 200, 200, 250, 400, 10, 500}
	for _, at := range times {
		if _, err := c.Producer.Produce(t.Context(), &streamhousev1.ProduceRequest{
			Topic: "times", Partition: 1, Records: []*streamhousev1.Record{{Value: []byte("x"), Timestamp: &at}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	check := func() {
		t.Helper()
		for timestamp := int64(0); timestamp <= 510; timestamp += 10 {
			want := 0
			for want < len(times) && times[want] < timestamp {
				want++
			}
			got, err := c.Consumer.FindOffset(t.Context(), &streamhousev1.FindOffsetRequest{Topic: "times", Partition: 1, TimestampMs: timestamp})
			if err != nil || got.GetOffset() != uint64(want) || got.GetEndOffset() != uint64(len(times)) ||
				(got.TimestampMs != nil) != (want < len(times)) || want < len(times) && got.GetTimestampMs() != times[want] {
				t.Errorf("since %d: %v, %v, want offset %d", timestamp, got, err, want)
			}
		}
	}
	check()
	a.Kill()
	a.Start()
	check()
}
