package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// A store that several agents share is verified while they work on it, and what
// each of them gives to readers is compared with it.
func TestVerifyBesideAgents(t *testing.T) {
	t.Parallel()
	shared := process.StartStore(t)
	first, second := process.StartAgent(t, shared...), process.StartAgent(t, append(shared, "--name", "second")...)
	const partitions = 8
	first.CreateTopic("t", partitions)
	for n := range partitions {
		first.Run(process.Command{
			Args:  []string{"produce", "t", "--partition", fmt.Sprint(n)},
			Stdin: strings.NewReader("a\nb\nc\n"),
		}).Succeeded(t, "produce")
	}
	args := append([]string{"verify", "--server", second.Addr, "--output", "json"}, shared...)
	var got struct {
		OK     bool
		Store  struct{ Records, Sessions int }
		Agents struct{ Records, Partitions int }
	}
	if err := json.Unmarshal([]byte(second.Succeed(args...)), &got); err != nil {
		t.Fatal(err)
	}
	if !got.OK || got.Store.Records != 3*partitions || got.Agents.Records != 3*partitions || got.Agents.Partitions != partitions || got.Store.Sessions != 2 {
		t.Errorf("verified %+v", got)
	}
}
