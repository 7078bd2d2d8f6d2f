// Package chaos ends, stops and cuts off the agents of a cluster of real
// processes at random, under load, and checks after every few rounds that the
// log is what producers were told. See TestChaos.
package chaos

import (
	"flag"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/tests/internal/process"
)

// The defaults are for `go test work`, which has little time; `task chaos` sets
// others.
var (
	rounds    = flag.Int("rounds", 2, "rounds of TestChaos")
	seed      = flag.Uint64("seed", 0, "what happens in which order; 0 takes a random one")
	heartbeat = flag.Duration("heartbeat", 500*time.Millisecond, "the agents' session-heartbeat")
	lease     = flag.Duration("lease", 2500*time.Millisecond, "the agents' session-lease")
	only      = flag.String("only", "", "the one kind of event to cause, such as \"kill\"")
	logs      = flag.String("logs", "", "folder for the logs of agents and producers")
	gaps      = flag.Int("gaps", 0, "rounds of each of TestGaps' events; 0 skips it")
)

func TestMain(m *testing.M) { process.Main(m) }
