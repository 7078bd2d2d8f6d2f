package verify

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sync/semaphore"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
)

// mergedFolder is where compactions put their objects.
const mergedFolder = "merged"

// mergedKey takes the key of a merged object apart.
func mergedKey(key string) (session string, number uint64, ok bool) {
	parts := strings.Split(key, "/")
	if len(parts) != 3 || parts[0] != mergedFolder || parts[1] == "" {
		return "", 0, false
	}
	digits, _, _ := strings.Cut(parts[2], "-")
	number, err := strconv.ParseUint(digits, 10, 64)
	return parts[1], number, err == nil
}

// maxExpected bounds how many index rows wait for their objects to be read, at
// some 100 bytes each. An object whose rows are further apart than that is read
// once; of the later times its footer is enough.
const maxExpected = 1 << 18

// run is what an index row expects of its object.
type run struct {
	p          *partition
	compaction uint64
	base, last uint64
	size       int64 // of the object
	at         uint64
	blocks     []byte // packed

	section *segment.Section // of the object, once that is checked
	starts  int64            // where it begins
}

func (r *run) row() string { return meta.RunHash(r.p.row.Topic, r.p.row.Partition, r.compaction) }

// merged is an object that index rows name, and what came of reading it.
type merged struct {
	key     string
	session string
	number  uint64
	runs    []run
	known   bool // it was read before: its footer is enough
	weight  int64

	done   chan struct{} // closed when what follows is set
	size   int64
	footer *segment.Footer
	row    *meta.Merge // nil when there is none
	err    error
}

// expect notes what a row says of its object. All that wait are checked when they
// become too many.
func (v *verifier) expect(ctx context.Context, p *partition, compaction uint64, row *meta.Run) error {
	v.expected[row.Object] = append(v.expected[row.Object], run{
		p: p, compaction: compaction, base: row.Base, last: row.Last, size: row.Size, at: row.At, blocks: row.Blocks,
	})
	if v.waiting++; v.waiting < v.maxExpected {
		return nil
	}
	return v.checkMerged(ctx)
}

// checkMerged reads what the rows that wait name, ahead in other goroutines, and
// checks it in this one, in order.
func (v *verifier) checkMerged(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var gets sync.WaitGroup
	defer gets.Wait()
	defer cancel()
	expected := v.expected
	v.expected, v.waiting = map[string][]run{}, 0
	list := make([]*merged, 0, len(expected))
	for _, key := range slices.Sorted(maps.Keys(expected)) {
		list = append(list, v.newMerged(key, expected[key]))
	}
	room, jobs := semaphore.NewWeighted(aheadBytes), make(chan *merged, aheadObjects)
	gets.Go(func() {
		defer close(jobs)
		for _, m := range list {
			if room.Acquire(ctx, m.weight) != nil {
				return
			}
			gets.Go(func() { m.read(ctx, v.rows, v.objects) })
			select {
			case jobs <- m:
			case <-ctx.Done():
				return
			}
		}
	})
	for m := range jobs {
		<-m.done
		err := v.checkOne(ctx, m)
		room.Release(m.weight)
		if err != nil {
			return err
		}
		m.footer, m.runs = nil, nil // the list is long
	}
	return context.Cause(ctx)
}

func (v *verifier) newMerged(key string, runs []run) *merged {
	session, number, _ := mergedKey(key)
	size, listed := v.merged[key]
	if !listed {
		size = runs[0].size // it came since
	}
	m := &merged{key: key, session: session, number: number, runs: runs, known: v.read[key], size: size, done: make(chan struct{})}
	m.weight = min(max(size, 1), pieceBytes)
	slices.SortFunc(m.runs, func(a, b run) int {
		return cmp.Or(cmp.Compare(a.p.row.Topic, b.p.row.Topic), cmp.Compare(a.p.row.Partition, b.p.row.Partition), cmp.Compare(a.base, b.base))
	})
	return m
}

// checkOne holds an object against all that names it.
func (v *verifier) checkOne(ctx context.Context, m *merged) error {
	if !m.known {
		if _, listed := v.merged[m.key]; listed {
			v.done.Add(1)
		}
		v.read[m.key] = true
	}
	if m.err != nil || m.row == nil {
		if err := v.checkStanding(ctx, m); err != nil {
			return err
		}
		return nil
	}
	if err := m.checkParts(m.row, m.footer, m.size); err != nil {
		return err
	}
	if !m.known {
		v.report.Merged++
		v.report.Bytes += m.size
	}
	for i := range m.runs {
		if err := v.checkRun(m, &m.runs[i]); err != nil {
			return err
		}
	}
	return nil
}

// checkStanding tells why an object or its merge's row is missing or damaged; nil
// when nothing names it any more.
func (v *verifier) checkStanding(ctx context.Context, m *merged) error {
	for i := range m.runs {
		r := &m.runs[i]
		now, err := v.again(ctx, r.p)
		if err != nil {
			return err
		}
		if r.p.gone || !names(now, r.compaction, r.last) {
			continue
		}
		if m.err != nil {
			return v.damaged(m, r)
		}
		f := wrong("there is no merge row %s/%d, and so nothing that would ever remove the object", m.session, m.number).
			of(r.p, r.base).named(m.key, r.row(), r.last)
		return &f
	}
	return nil
}
