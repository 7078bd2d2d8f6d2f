package sim

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/streamhouse/streamhouse/services/agent"
)

// storeLink is an agent's way to the store, with the faults that befall it. It
// implements agent.StoreNetwork. What happens to a request follows from the
// seed, the agent, and how many requests like it the agent sent before.
type storeLink struct {
	w      *World
	number uint64
	node   *node

	mu      sync.Mutex
	counts  map[kindOfRequest]uint64
	dead    bool
	cutOff  bool
	zombie  time.Duration // how long the agent stands still before its next commit
	session string        // the agent's own
	beat    time.Time     // when its last heartbeat reached the store
}

type kindOfRequest struct {
	op   uint64
	kind string
	seal bool
}

// Send implements agent.StoreNetwork.
func (l *storeLink) Send(ctx context.Context, r agent.StoreRequest) agent.StoreFate {
	l.watch(ctx, r)
	l.standStill(r)
	l.node.still.pass(ctx.Done())
	l.mu.Lock()
	dead, cutOff := l.dead, l.cutOff
	k := kindOfRequest{uint64(r.Op), string(r.Kind), r.Seal}
	l.counts[k]++
	n := l.counts[k]
	l.mu.Unlock()
	if dead {
		<-ctx.Done() // a dead process sends nothing, and ends when it is swept away
		return agent.StoreFate{Never: true}
	}
	d := newDice(l.w.plot.seed, 1, l.number, k.op, sum(k.kind), n)
	f := l.w.plot.store.fate(d, r, l.w.armed.Load())
	beats := r.Kind == "sessions" && r.Writes() && !r.Seal
	if cutOff || beats && l.w.throttled.Load() {
		f = agent.StoreFate{Never: true, Answer: d.between(time.Millisecond, time.Second)}
	}
	if beats && !f.Never {
		l.note(r, f)
	}
	return f
}

// Receive implements agent.StoreNetwork.
func (l *storeLink) Receive(ctx context.Context, _ agent.StoreRequest, _ error) {
	l.node.still.pass(ctx.Done())
}

// standStill stops the process in front of a commit, where that was asked for.
func (l *storeLink) standStill(r agent.StoreRequest) {
	if r.Kind != "journal" || r.Seal || !r.Writes() {
		return
	}
	l.mu.Lock()
	pause := l.zombie
	l.zombie = 0
	l.mu.Unlock()
	if pause > 0 {
		l.node.pause()
		time.AfterFunc(pause, l.node.resume)
	}
}

func (l *storeLink) note(r agent.StoreRequest, f agent.StoreFate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.session = r.Session
	l.beat = time.Now().Add(f.Lands + f.Again)
}

// watch holds seals of others against R8: an agent whose own heartbeats do not
// arrive must not end others for what may be the store's fault.
func (l *storeLink) watch(ctx context.Context, r agent.StoreRequest) {
	if r.Kind != "journal" || !r.Seal || !r.Writes() || ctx.Err() != nil {
		return
	}
	l.mu.Lock()
	age := time.Since(l.beat)
	hasty := !l.dead && l.session != r.Session && age > lease
	l.mu.Unlock()
	if hasty {
		l.w.violate("hasty: agent %d seals another session, and its own heartbeats have not arrived for %s", l.number, age)
	}
}

func (l *storeLink) set(change func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change()
}

func sum(text string) (n uint64) {
	for _, c := range text {
		n = n*131 + uint64(c)
	}
	return n
}

// storeFaults says how a store and the way to it fail in one run.
type storeFaults struct {
	latency time.Duration
	// percent of all requests fail in some way, and aimed of those that aim
	// matches.
	percent, aimed float64
	aim            aim
	longest        time.Duration
}

// aim is a kind of request that a run is hard on.
type aim string

// The aims.
const (
	aimNone    aim = "nothing"
	aimCommits aim = "commits" // and seals
	aimSeals   aim = "seals"
	aimMoves   aim = "moves" // rows of partitions
	aimBeats   aim = "beats"
	aimPuts    aim = "puts"
	aimReads   aim = "reads"
)

func (a aim) hits(r agent.StoreRequest) bool {
	switch a {
	case aimCommits:
		return r.Writes() && r.Kind == "journal"
	case aimSeals:
		return r.Writes() && r.Seal
	case aimMoves:
		return r.Writes() && r.Kind == "partitions"
	case aimBeats:
		return r.Writes() && r.Kind == "sessions"
	case aimPuts:
		return r.Writes() && r.Kind == ""
	case aimReads:
		return !r.Writes()
	default:
		return false
	}
}

func (s storeFaults) String() string {
	return fmt.Sprintf("latency %s, %.1f %% of requests fail, %.0f %% of %s, by up to %s", s.latency, s.percent, s.aimed, s.aim, s.longest)
}

// fate draws what becomes of a request.
func (s storeFaults) fate(d dice, r agent.StoreRequest, armed bool) agent.StoreFate {
	way := d.evenly(s.latency/2, s.latency*3/2) + time.Duration(d.IntN(1000)) // no two at one time
	f := agent.StoreFate{Lands: way, Answer: way}
	slowSeal := s.aim == aimSeals && s.aim.hits(r)
	if !armed || !slowSeal && !d.chance(s.percent) && !(s.aim.hits(r) && d.chance(s.aimed)) {
		return f
	}
	long := d.between(time.Millisecond, s.longest)
	if !r.Writes() {
		f.Answer += min(long, maxWait)
		f.Fails = d.chance(50)
		return f
	}
	what := d.IntN(6)
	if slowSeal && d.chance(70) {
		what = slow // so that much happens meanwhile
	}
	switch what {
	case 0: // the request is lost
		f.Never, f.Answer = true, way+min(long, maxWait)
	case 1: // the answer is lost
		f.Fails, f.Answer = true, way+min(long, maxWait)
	case 2: // it lands late, when its sender has gone on
		f.Lands, f.Answer = way+long, way+d.between(time.Millisecond, long+time.Millisecond)
	case slow:
		f.Lands = way + min(long, maxWait)
		f.Answer = f.Lands
	case 4: // it lands twice, and the sender hears of the first
		f.Again = long
	case 5: // it lands twice, and the sender hears of the second
		f.Again = min(long, maxWait)
		f.Answer = f.Lands + f.Again + time.Microsecond
	}
	return f
}

// slow is the case of a request that takes long to land, and is answered then.
const slow = 3

// maxWait is how long an answer takes at most before the client of a store
// gives up.
const maxWait = 6 * time.Second
