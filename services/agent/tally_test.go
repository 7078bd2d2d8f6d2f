package agent

import (
	"context"
	"iter"
	"strings"
	"sync"

	"github.com/streamhouse/streamhouse/services/agent/cost"
	"github.com/streamhouse/streamhouse/services/agent/internal/compaction"
	"github.com/streamhouse/streamhouse/services/agent/internal/dynamo"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// tally counts what reaches a store, and what stands in it.
type tally struct {
	objects objstore.Store
	rows    meta.Store
	// priced counts capacity units as well, which takes time.
	priced bool

	mu       sync.Mutex
	stand    map[meta.Kind]int // rows
	read     map[meta.Kind]int // rows that were given out
	requests map[meta.Kind]cost.Requests
	made     map[meta.Kind]cost.Requests // those of them that created a row
	sizes    map[meta.Kind]int64         // bytes of items that were created
}

// Where requests for objects are counted, beside the kinds of rows: ofMerges has
// the PUTs of compaction, and ofObjects all else.
const (
	ofObjects meta.Kind = ""
	ofMerges  meta.Kind = "merged"
)

// writerOf tells what compaction writes from what flushes do: objects in a folder
// of their own, and the producers' states, which are a segment in one piece.
func writerOf(key string, body objstore.Body) meta.Kind {
	if strings.HasPrefix(key, compaction.Folder) || len(body.Parts) == 1 {
		return ofMerges
	}
	return ofObjects
}

func newTally(objects objstore.Store, rows meta.Store) *tally {
	return &tally{
		objects: objects, rows: rows,
		stand: map[meta.Kind]int{}, read: map[meta.Kind]int{}, requests: map[meta.Kind]cost.Requests{}, made: map[meta.Kind]cost.Requests{},
		sizes: map[meta.Kind]int64{},
	}
}

// Objects is the store of objects, counted.
func (t *tally) Objects() objstore.Store { return talliedObjects{t.objects, t} }

// Rows is the store of rows, counted.
func (t *tally) Rows() meta.Store { return talliedRows{t.rows, t} }

func (t *tally) note(kind meta.Kind, change func(r *cost.Requests)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.requests[kind]
	change(&r)
	t.requests[kind] = r
}

// standing is how many rows of a kind there are.
func (t *tally) standing(kind meta.Kind) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stand[kind]
}

// given is how many rows of a kind readers got.
func (t *tally) given(kind meta.Kind) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.read[kind]
}

// size is what a row counts in DynamoDB.
func (t *tally) size(row meta.Row) int64 {
	if !t.priced {
		return 0
	}
	n, err := dynamo.ItemSize(row)
	if err != nil {
		panic(err)
	}
	return int64(n)
}

func units(bytes, each int64) float64 { return float64(max(1, (bytes+each-1)/each)) }

type talliedObjects struct {
	objstore.Store
	t *tally
}

func (o talliedObjects) Put(ctx context.Context, key string, body objstore.Body) error {
	o.t.note(writerOf(key, body), func(r *cost.Requests) { r.Puts++ })
	return o.Store.Put(ctx, key, body)
}

func (o talliedObjects) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	o.t.note(ofObjects, func(r *cost.Requests) { r.Gets++ })
	return o.Store.Get(ctx, key, offset, length)
}

// List counts a request for every thousand objects, as S3 does.
func (o talliedObjects) List(ctx context.Context, prefix string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		n := 0
		defer func() { o.t.note(ofObjects, func(r *cost.Requests) { r.Lists += uint64(1 + max(0, n-1)/1000) }) }()
		for info, err := range o.Store.List(ctx, prefix) {
			n++
			if !yield(info, err) {
				return
			}
		}
	}
}

func (o talliedObjects) Delete(ctx context.Context, keys ...string) error {
	o.t.note(ofObjects, func(r *cost.Requests) { r.Deletes += uint64(1 + max(0, len(keys)-1)/1000) })
	return o.Store.Delete(ctx, keys...)
}

type talliedRows struct {
	meta.Store
	t *tally
}

func (r talliedRows) wrote(row meta.Row, err error, stands int) {
	size := r.t.size(row)
	r.t.note(row.Kind(), func(q *cost.Requests) {
		q.RowWrites++
		q.WriteUnits += units(size, 1<<10)
		if err == nil {
			r.t.stand[row.Kind()] += stands
		}
		if err == nil && stands > 0 {
			r.t.sizes[row.Kind()] += size
			made := r.t.made[row.Kind()]
			made.RowWrites++
			made.WriteUnits += units(size, 1<<10)
			r.t.made[row.Kind()] = made
		}
	})
}

func (r talliedRows) Create(ctx context.Context, row meta.Row) error {
	err := r.Store.Create(ctx, row)
	r.wrote(row, err, 1)
	return err
}

func (r talliedRows) Swap(ctx context.Context, row meta.Row) error {
	err := r.Store.Swap(ctx, row)
	r.wrote(row, err, 0)
	return err
}

func (r talliedRows) Delete(ctx context.Context, row meta.Row) error {
	err := r.Store.Delete(ctx, row)
	r.wrote(row, err, -1)
	return err
}

func (r talliedRows) Get(ctx context.Context, row meta.Row) error {
	err := r.Store.Get(ctx, row)
	size := r.t.size(row)
	r.t.note(row.Kind(), func(q *cost.Requests) {
		q.RowReads++
		q.ReadUnits += units(size, 4<<10)
		r.t.read[row.Kind()]++
	})
	return err
}

func (r talliedRows) Query(ctx context.Context, kind meta.Kind, hash string, from uint64) iter.Seq2[meta.Row, error] {
	return r.counted(kind, r.Store.Query(ctx, kind, hash, from))
}

func (r talliedRows) Scan(ctx context.Context, kind meta.Kind) iter.Seq2[meta.Row, error] {
	return r.counted(kind, r.Store.Scan(ctx, kind))
}

// counted counts as DynamoDB bills: by pages, also what of the last one nobody
// looks at.
func (r talliedRows) counted(kind meta.Kind, rows iter.Seq2[meta.Row, error]) iter.Seq2[meta.Row, error] {
	return func(yield func(meta.Row, error) bool) {
		p := page{kind: kind}
		wanted := true
		for row, err := range rows {
			if err == nil && p.full() {
				p.end(r.t)
				if !wanted {
					break
				}
			}
			if err == nil {
				p.rows++
				p.size += r.t.size(row)
			}
			if wanted {
				wanted = yield(row, err)
			}
			if !wanted && !r.t.priced {
				break
			}
		}
		p.end(r.t)
	}
}

// page is what one request for rows gives.
type page struct {
	kind meta.Kind
	rows int
	size int64
}

func (p *page) full() bool {
	return p.size >= 1<<20 || p.kind == meta.Index && p.rows == 32
}

func (p *page) end(t *tally) {
	t.note(p.kind, func(q *cost.Requests) {
		q.RowReads++
		q.ReadUnits += units(p.size, 4<<10)
		t.read[p.kind] += p.rows
	})
	*p = page{kind: p.kind}
}

// gets is how many GETs there were.
func (t *tally) gets() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.requests[ofObjects].Gets
}
