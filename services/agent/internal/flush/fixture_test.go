package flush_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/journal"
	"github.com/streamhouse/streamhouse/services/agent/internal/memory"
	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
	"github.com/streamhouse/streamhouse/services/agent/internal/segment"
	"github.com/streamhouse/streamhouse/services/agent/internal/stats"
)

const session = "000102030405060708090a0b0c0d0e0f"

var errKilled = errors.New("killed")

// settings of a test's pipeline; zero fields get defaults.
type settings struct {
	flush.Options
	plan faults.Plan
	// put is called before each PUT with the segment's number.
	put     func(seq uint64)
	valid   func(time.Time) error
	session string
}

// pipe is a running pipeline on stores in memory. It lives in a bubble.
type pipe struct {
	*flush.Pipeline
	t        *testing.T
	injector *faults.Injector
	rows     *memory.Rows
	objects  *memory.Objects
	stats    *stats.Stats
	recent   *recent
	kill     context.CancelCauseFunc
	ended    chan error
	session  string
	numbers  uint64 // segments that log has read
}

func start(t *testing.T, s settings) *pipe {
	t.Helper()
	p := &pipe{
		t: t, injector: faults.New(s.plan), rows: memory.NewRows(), objects: memory.NewObjects(), stats: &stats.Stats{},
		ended: make(chan error, 1),
	}
	p.recent = &recent{t: t}
	o := &s.Options
	o.Bytes = max(o.Bytes, 1<<12)
	if o.Age == 0 {
		o.Age = 100 * time.Millisecond
	}
	o.Concurrency = max(o.Concurrency, 1)
	if o.BufferBytes == 0 {
		o.BufferBytes = 64 * int64(o.Bytes)
	}
	o.PutTimeout = max(o.PutTimeout, 10*time.Second)
	if o.MaxProducers == 0 {
		o.MaxProducers = 1000
	}
	if o.AckTimeout == 0 {
		o.AckTimeout = 30 * time.Second
	}
	if s.valid == nil {
		s.valid = func(time.Time) error { return nil }
	}
	if s.session == "" {
		s.session = session
	}
	p.session = s.session
	p.Pipeline = flush.New(*o, flush.Deps{
		Session: s.session, Objects: &hooked{Store: p.injector.Objects(p.objects), put: s.put, t: t},
		Journal: journal.NewWriter(p.injector.Rows(p.rows), s.session),
		Valid:   s.valid, Recent: p.recent, Counters: p.stats, Logger: slog.New(slog.DiscardHandler),
	})
	var ctx context.Context
	ctx, p.kill = context.WithCancelCause(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { p.kill(errKilled) })
	go func() { p.ended <- p.Run(ctx) }()
	return p
}

// stop ends the pipeline, when all was resolved, and checks what is left.
func (p *pipe) stop() {
	p.t.Helper()
	if err := p.Drain(p.t.Context(), errKilled); err != nil {
		p.t.Fatal(err)
	}
	if used, _ := p.Buffered(); used != 0 {
		p.t.Errorf("%d bytes are still held", used)
	}
	if seq, rows := p.FirstSeq(), p.commits(); seq != rows {
		p.t.Errorf("the next commit is said to be %d after %d rows", seq, rows)
	}
	if begun, segments := p.Horizon(), p.stats.Segments.Load(); begun != segments {
		p.t.Errorf("%d flushes are said to have begun, and %d segments are committed", begun, segments)
	}
	p.end()
}

func (p *pipe) end() {
	p.t.Helper()
	p.kill(errKilled)
	if err := <-p.ended; !errors.Is(err, errKilled) {
		p.t.Errorf("the pipeline ended with %v", err)
	}
	p.injector.Wait()
	p.recent.releaseAll()
}

// commits counts the rows of the journal.
func (p *pipe) commits() (n uint64) {
	p.t.Helper()
	for row, err := range journal.Read(p.t.Context(), p.rows, p.session, 0) {
		if err != nil {
			p.t.Fatal(err)
		}
		if !row.Seal {
			n++
		}
	}
	return n
}

// own begins tenures of the partitions from 0 to n-1 of topic 1.
func (p *pipe) own(n int) (tenures []*flush.Tenure) {
	p.t.Helper()
	for i := range n {
		id := at(i)
		tenure := flush.NewTenure(id, 1, 0, p.FirstSeq(), index.New(0, 0, nil), nil)
		if err := p.Own(tenure); err != nil {
			p.t.Fatal(err)
		}
		tenures = append(tenures, tenure)
	}
	return tenures
}

func at(partition int) flush.ID { return flush.ID{Topic: 1, Partition: uint32(partition)} }

// hooked sees to it that no key is used twice.
type hooked struct {
	objstore.Store
	put  func(seq uint64)
	t    *testing.T
	mu   sync.Mutex
	keys map[string]bool
}

func (h *hooked) Put(ctx context.Context, key string, body objstore.Body) error {
	h.mu.Lock()
	if h.keys[key] {
		h.t.Errorf("key %s is used twice", key)
	}
	if h.keys == nil {
		h.keys = map[string]bool{}
	}
	h.keys[key] = true
	h.mu.Unlock()
	if h.put != nil {
		var seq uint64
		if _, err := fmt.Sscanf(key[strings.IndexByte(key, '/')+1:], "%d-", &seq); err != nil {
			h.t.Error(err)
		}
		h.put(seq)
	}
	before := bytes.Join(body.Parts, nil)
	err := h.Store.Put(ctx, key, body)
	if ctx.Err() != nil {
		time.Sleep(30 * ms) // to notice that takes a store a while, in which it goes on reading
	}
	if !bytes.Equal(before, bytes.Join(body.Parts, nil)) {
		h.t.Errorf("the bytes of %s changed while they were written", key)
	}
	return err
}

// recent keeps every second segment for a while, and looks whether its bytes
// stay as they were.
type recent struct {
	t    *testing.T
	mu   sync.Mutex
	kept []keptSegment
}

type keptSegment struct {
	parts   [][]byte
	copied  []byte
	release func()
}

func (r *recent) Add(_ string, parts [][]byte, memory int64, release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	copied := bytes.Join(parts, nil)
	if size := int64(len(copied)); memory > 2*size {
		r.t.Errorf("%d bytes hold %d", size, memory)
	}
	r.kept = append(r.kept, keptSegment{parts, copied, release})
	if len(r.kept) > 3 {
		r.releaseLocked(1)
	}
}

func (r *recent) releaseLocked(i int) {
	k := r.kept[i]
	r.kept = slices.Delete(r.kept, i, i+1)
	if !bytes.Equal(bytes.Join(k.parts, nil), k.copied) {
		r.t.Error("a segment's bytes changed before their release")
	}
	k.release()
}

func (r *recent) releaseAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.kept) > 0 {
		r.releaseLocked(0)
	}
}

// encode makes a batch of n records in size bytes or a few more.
func encode(producer, seq uint64, n, size int) *flush.Batch {
	var b batch.Builder
	for i := range n {
		value := fmt.Appendf(nil, "%d/%d/%d", producer, seq, i)
		if i == 0 && size > 0 {
			value = append(value, bytes.Repeat([]byte{byte(seq)}, max(0, size-batch.HeaderSize-7*n))...)
		}
		b.Append(&batch.Record{Value: value, Timestamp: 1})
	}
	raw := b.Seal(producer, seq)
	header, err := batch.Check(raw)
	if err != nil {
		panic(err)
	}
	cut := rand.IntN(len(raw)) // where gRPC's buffers end is chance
	return &flush.Batch{Header: header, Parts: [][]byte{raw[:cut], raw[cut:]}}
}

// question is one Append, and its answers.
type question struct {
	id     flush.ID
	batch  *flush.Batch
	sent   time.Time
	answer chan result
	first  *result // once it was waited for
}

type result struct {
	base uint64
	err  error
	when time.Time
}

func (q *question) Answer(_, base uint64, err error) { q.answer <- result{base, err, time.Now()} }

func (p *pipe) send(id flush.ID, b *flush.Batch) *question {
	q := &question{id: id, batch: b, sent: time.Now(), answer: make(chan result, 10)}
	if err := p.Append(id, b, q, 7); err != nil {
		q.answer <- result{err: err, when: time.Now()}
	}
	return q
}

// wait returns the answer, and makes sure that it is the only one so far.
func (q *question) wait(t *testing.T) result {
	t.Helper()
	if q.first == nil {
		r := <-q.answer
		q.first = &r
	}
	if len(q.answer) > 0 {
		t.Errorf("batch %d of producer %d was answered more than once", q.batch.Header.Sequence, q.batch.Header.ProducerID)
	}
	return *q.first
}

// must expects a success.
func (q *question) must(t *testing.T) result {
	t.Helper()
	r := q.wait(t)
	if r.err != nil {
		t.Fatalf("batch %d of producer %d: %v", q.batch.Header.Sequence, q.batch.Header.ProducerID, r.err)
	}
	return r
}

// placed is one batch as the stores have it.
type placed struct {
	segment.Batch
	base uint64
	seq  uint64 // its segment's number
}

// log reads every partition out of the stores as a stranger would, and checks
// each object, the order of the rows, and that offsets have no gaps.
func (p *pipe) log() map[flush.ID][]placed {
	p.t.Helper()
	all, ends := map[flush.ID][]placed{}, map[flush.ID]uint64{}
	p.numbers = 0
	for row, err := range journal.Read(p.t.Context(), p.rows, session, 0) {
		if err != nil {
			p.t.Fatal(err)
		}
		if row.Seal {
			break
		}
		for i := range row.Segments {
			p.readSegment(row.Seq, &row.Segments[i], all, ends)
		}
	}
	return all
}

// readSegment adds what a segment holds, if it holds what its row says.
func (p *pipe) readSegment(seq uint64, committed *meta.Segment, all map[flush.ID][]placed, ends map[flush.ID]uint64) {
	p.t.Helper()
	commits, err := journal.ParseCommits(committed.Commits)
	if err != nil {
		p.t.Fatal(err)
	}
	object, err := p.objects.Get(p.t.Context(), committed.Key, 0, -1)
	if err != nil || int64(len(object)) != committed.Size {
		p.t.Fatalf("row %d: %d bytes instead of %d, %v", seq, len(object), committed.Size, err)
	}
	footer, err := segment.Verify(object)
	if err != nil || footer.Number != p.numbers || len(footer.Sections) != len(commits) {
		p.t.Fatalf("row %d: footer of number %v instead of %d, with %d sections for %d commits: %v",
			seq, footer.Number, p.numbers, len(footer.Sections), len(commits), err)
	}
	p.numbers++
	for i, c := range commits {
		s := &footer.Sections[i]
		id := flush.ID{Topic: c.Topic, Partition: c.Partition}
		if s.Topic != c.Topic || s.Partition != c.Partition || s.Size != c.Size || s.Records != c.Records ||
			(s.State != nil) != c.State || c.Base != ends[id] || c.Epoch != 1 {
			p.t.Fatalf("row %d: commit %+v, section of %d/%d with %d bytes and %d records; the log ended at %d",
				seq, c, s.Topic, s.Partition, s.Size, s.Records, ends[id])
		}
		for _, b := range s.Batches {
			all[id] = append(all[id], placed{b, ends[id], footer.Number})
			ends[id] += uint64(b.Records)
		}
	}
}

// commitsOf lists a row's commits, segment by segment.
func commitsOf(t *testing.T, row *meta.Entry) []journal.Commit {
	t.Helper()
	var all []journal.Commit
	for _, s := range row.Segments {
		commits, err := journal.ParseCommits(s.Commits)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, commits...)
	}
	return all
}

// check expects that exactly these questions' batches are in the log, each
// once, where its answer said, and each partition's in the order of sending.
func (p *pipe) check(questions []*question) {
	p.t.Helper()
	for _, q := range questions {
		q.must(p.t)
	}
	log := p.log()
	next := map[flush.ID]int{}
	for _, q := range questions {
		r := q.must(p.t)
		i := next[q.id]
		next[q.id]++
		if i >= len(log[q.id]) {
			p.t.Fatalf("partition %d has only %d batches", q.id.Partition, len(log[q.id]))
		}
		got, h := log[q.id][i], q.batch.Header
		if got.base != r.base || got.ProducerID != h.ProducerID || got.Sequence != h.Sequence || got.CRC != h.CRC {
			p.t.Fatalf("batch %d of partition %d is %+v; sent was %+v, answered at %d", i, q.id.Partition, got, h, r.base)
		}
	}
	for id, batches := range log {
		if next[id] != len(batches) {
			p.t.Errorf("partition %d has %d batches, and %d were sent", id.Partition, len(batches), next[id])
		}
	}
}
