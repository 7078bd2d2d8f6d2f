// Package faults wraps stores so that they are slow, lose requests, lose
// replies or let writes land late, as a store across a network does. Tests and
// benchmarks use it, and an agent that was told to by its flags.
//
// What happens depends on the plan's seed and on the order of the calls alone.
// Time is package time's: in a testing/synctest bubble it costs nothing.
package faults

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// ErrInjected is wrapped by every error that a rule causes. To its caller it
// means what any unknown error means: the outcome is unknown.
var ErrInjected = errors.New("injected fault")

// Plan says what an Injector does. The zero Plan does nothing.
type Plan struct {
	// Seed decides the latencies, and whether an operation whose caller gave
	// up still happens.
	Seed uint64
	// Put is the latency of Put and Delete of objects; Get of Get and List.
	Put, Get Latency
	// Commit is the latency of Create, Swap and Delete of rows; Read of Get,
	// Query and Scan.
	Commit, Read Latency
	// Rules cause faults. Each counts the operations that it matches; when
	// several would fire at one, the first does.
	Rules []Rule
}

// Rule causes a fault at some of the operations that it matches.
type Rule struct {
	// Op is the set of operations that the rule matches, as in Put|RowCreate;
	// 0 is all of them.
	Op Op
	// First is the first of the matching operations to fail, from 1; 0 is 1.
	First uint64
	// Every is the distance from there to the next one, and so on; 0: none.
	Every uint64
	Kind  Kind
	Pause time.Duration
}

// fires tells whether the rule acts on the n-th operation that it matches.
func (r Rule) fires(n uint64) bool {
	first := max(r.First, 1)
	return n == first || n > first && r.Every > 0 && (n-first)%r.Every == 0
}

// Kind is what a rule does to an operation, after its latency.
type Kind uint8

// The kinds.
const (
	// ErrBefore is a lost request: nothing happens, and an error is returned,
	// Pause later.
	ErrBefore Kind = iota
	// ErrAfter is a lost reply: the operation happens, and an error is
	// returned, Pause after that. A list or a query yields everything, then
	// the error.
	ErrAfter
	// Pause is a slow network: the operation happens Pause later, and its own
	// result is returned.
	Pause
	// Late is a delayed write: an error is returned at once, and Pause after
	// that the operation happens, when its caller may have gone on long
	// since. A read just fails.
	Late
)

// Injector carries a plan out. It is safe for concurrent use; so is what it
// wraps.
type Injector struct {
	plan     Plan
	disarmed atomic.Bool
	ops      [opCount]atomic.Uint64
	matched  []atomic.Uint64 // for each rule
	injected atomic.Uint64
	mu       struct {
		sync.Mutex
		late int // operations that are yet to happen
	}
	idle *sync.Cond // on mu: late is 0
}

// New returns an Injector that is armed.
func New(plan Plan) *Injector {
	i := &Injector{plan: plan, matched: make([]atomic.Uint64, len(plan.Rules))}
	i.idle = sync.NewCond(&i.mu)
	return i
}

// Objects wraps a store of objects.
func (i *Injector) Objects(s objstore.Store) objstore.Store { return &objects{i, s} }

// Rows wraps a store of rows.
func (i *Injector) Rows(s meta.Store) meta.Store { return &rows{i, s} }

// Disarm lets all operations through, without latency too, and stops the
// rules' counting, until Arm. What is late already still happens.
func (i *Injector) Disarm() { i.disarmed.Store(true) }

// Arm ends what Disarm began.
func (i *Injector) Arm() { i.disarmed.Store(false) }

// Ops counts the operations so far, armed or not.
func (i *Injector) Ops() map[Op]uint64 {
	counts := map[Op]uint64{}
	for bit := range i.ops {
		if n := i.ops[bit].Load(); n > 0 {
			counts[1<<bit] = n
		}
	}
	return counts
}

// Injected counts the faults so far.
func (i *Injector) Injected() uint64 { return i.injected.Load() }

// Wait returns when no operation is late any more. Close of a wrapped store
// waits too.
func (i *Injector) Wait() {
	i.mu.Lock()
	defer i.mu.Unlock()
	for i.mu.late > 0 {
		i.idle.Wait()
	}
}

// fate is what the plan has for one operation.
type fate struct {
	op      Op
	index   uint64 // among the operations like it, from 1
	latency time.Duration
	lands   bool  // it happens even if its caller gives up meanwhile
	rule    *Rule // nil: none
}

// begin draws the fate of the next operation. Each has a generator of its own,
// so that what another kind of operation does in between changes nothing.
func (i *Injector) begin(op Op, latency Latency) fate {
	f := fate{op: op, index: i.ops[op.bit()].Add(1)}
	if i.disarmed.Load() {
		return f
	}
	r := rand.New(rand.NewPCG(i.plan.Seed, uint64(op)<<48|f.index))
	f.latency = latency.sample(r)
	f.lands = r.Uint64()&1 == 0
	for n := range i.plan.Rules {
		rule := &i.plan.Rules[n]
		if rule.Op.has(op) && rule.fires(i.matched[n].Add(1)) && f.rule == nil {
			f.rule = rule
		}
	}
	if f.rule != nil {
		i.injected.Add(1)
	}
	return f
}

func (f fate) is(kind Kind) bool { return f.rule != nil && f.rule.Kind == kind }

// err is what the caller gets in place of the result.
func (f fate) err() error {
	return fmt.Errorf("%s %d: %w (%s)", f.op, f.index, ErrInjected, f.rule.Kind)
}
