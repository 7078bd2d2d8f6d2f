package e2e

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// seedEnv repeats a run: the seed decides the load and the moments of the
// kills, though not what the machine makes of them.
const seedEnv = "STREAMHOUSE_TEST_SEED"

func seed(t *testing.T) uint64 {
	t.Helper()
	s := rand.Uint64()
	if text := os.Getenv(seedEnv); text != "" {
		var err error
		if s, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	t.Logf("%s=%d", seedEnv, s)
	return s
}

// TestKill9 kills a real agent again and again under load. It keeps the
// predecessor's worst holes closed: acknowledged from memory, and a crash lost
// it; retried after an unknown outcome, and appended twice; offsets that
// started over or came back swapped.
func TestKill9(t *testing.T) {
	const (
		rounds     = 20
		partitions = 5
	)
	s := seed(t)
	rng := rand.New(rand.NewPCG(s, 1))
	// Where the crash hits depends on what the agent is busy with: flushing
	// all the time, waiting for the ceiling, writing an object or a row that
	// takes long, or asking what became of a row whose reply was lost.
	modes := [][]string{
		{noCeiling},
		{},
		{noCeiling, "--store-put-latency=20ms/60ms"},
		{noCeiling, "--store-commit-latency=20ms/60ms"},
		{noCeiling, "--store-fault=op=row-create,first=2,every=2,kind=err-after,pause=50ms"},
	}
	a := process.StartAgent(t, modes[0]...)
	a.CreateTopic("kill", partitions)
	l := startLoad(t, a, "kill", partitions, s)
	busy, looks, ahead := 0, 0, 0
	for round := range rounds {
		l.more(t, 1)
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond)
		a.Kill()
		if l.history.Counts().Pending() > 0 {
			busy++
		}
		if mode := round % len(modes); mode == 0 || mode == len(modes)-1 {
			ahead += committedUnheard(t, a, l)
			looks++
		}
		a.Flags = modes[(round+1)%len(modes)]
		a.Start()
	}
	l.more(t, 1000) // from all, over what the last kill left
	l.stop(t)
	c := a.Client()
	log := l.history.Verify(t, c.Topics, c.Consumer, "kill")
	a.Succeed("verify", "--server", a.Addr)
	a.Kill()
	a.Verify()
	counts := l.history.Counts()
	t.Logf("%d rounds: %v; %d records in the log; %d kills with records in flight; %d records were committed and their answers lost, in the %d kills that were looked at",
		rounds, counts, log.Records(), busy, ahead, looks)
	if counts.Acked != counts.Sent {
		t.Errorf("%v: producers that retry must get every record through", counts)
	}
	if ahead == 0 {
		t.Errorf("none of %d kills lost the answer to a committed record: no retry had to be recognised", looks)
	}
	if busy < rounds/2 {
		t.Errorf("only %d of %d kills hit anything in flight: the load is too low to prove anything", busy, rounds)
	}
}

// committedUnheard starts the killed agent's store once more where no producer
// finds it, and counts the records that it has and nobody was told of: those
// whose retries must be recognised. Then it kills that agent too.
func committedUnheard(t *testing.T, a *process.Agent, l *load) int {
	t.Helper()
	hidden := process.NewAgent(t, a.Dir)
	hidden.Start()
	found, err := hidden.Client().Topics.DescribeTopic(t.Context(), &streamhousev1.DescribeTopicRequest{Name: "kill"})
	if err != nil {
		t.Fatal(err)
	}
	committed := 0
	for _, p := range found.GetPartitions() {
		committed += int(p.GetEndOffset())
	}
	hidden.Kill()
	told := l.history.Counts().Acked
	if committed < told {
		t.Errorf("%d records are acknowledged, and the log has %d", told, committed)
	}
	return committed - told
}
