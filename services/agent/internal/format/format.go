// Package format is the version of what agents write, rows and objects alike, and
// how the agents of a cluster agree on it: nobody writes what a live session
// cannot read. A release that brings a new format reads it and goes on writing
// the one before; the next release writes it, as soon as all live sessions read
// it. So each release can be rolled out over the one before it, and back.
package format

import (
	"fmt"
	"strconv"
	"sync/atomic"
)

// Oldest is the format that every release reads.
const Oldest = 1

// The newest formats that this program reads and writes. They are text because
// the linker sets nothing else: a test builds the next release with
// -X github.com/streamhouse/streamhouse/services/agent/internal/format.reads=2.
var (
	reads  = "1"
	writes = "1"
)

var newestRead, newestWritten atomic.Int64

func init() { //nolint:gochecknoinits // the variables above are only read here
	newestRead.Store(number(reads))
	newestWritten.Store(number(writes))
}

// number reads a variable that the linker may have set.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < Oldest {
		panic(fmt.Sprintf("the program was built with the format %q: it must be a number from %d on", text, Oldest))
	}
	return n
}

// Reads is the newest format that this program reads.
func Reads() int { return int(newestRead.Load()) }

// Pretend is for tests of several releases in one process: the program reads
// up to newest until the returned function is called.
func Pretend(newest int) (restore func()) {
	before := newestRead.Swap(int64(newest))
	return func() { newestRead.Store(before) }
}

// Agreed is the format that one agent writes. It is safe for concurrent use;
// nil stands for the oldest.
type Agreed struct {
	limit int
	now   atomic.Int64
}

// New returns the agreement of an agent that knows of no others yet: the oldest
// format. It never rises above limit, for which 0 stands for the newest format
// that this program writes.
func New(limit int) *Agreed {
	if limit == 0 {
		limit = int(newestWritten.Load())
	}
	a := &Agreed{limit: limit}
	a.now.Store(Oldest)
	return a
}

// Agree sets what all live sessions read.
func (a *Agreed) Agree(all int) {
	if a != nil {
		a.now.Store(int64(max(Oldest, min(a.limit, all))))
	}
}

// Version is what to write now.
func (a *Agreed) Version() int {
	if a == nil {
		return Oldest
	}
	return int(a.now.Load())
}
