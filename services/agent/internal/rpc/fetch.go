package rpc

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/host"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Limits of a fetch, as consumer.proto tells them.
const (
	defaultFetchBytes = 1 << 20
	maxFetchBytes     = 8 << 20
	maxFetchWait      = 30 * time.Second
)

type consumerServer struct {
	streamhousev1.UnimplementedConsumerServiceServer
	*listening
}

// Fetch returns batches as stored.
func (s *consumerServer) Fetch(ctx context.Context, req *streamhousev1.FetchRequest) (*streamhousev1.FetchResponse, error) {
	out := &streamhousev1.FetchResponse{}
	var err error
	out.StartOffset, out.EndOffset, err = s.fetch(ctx, req, func(base uint64, b []byte) error {
		out.Batches = append(out.Batches, &streamhousev1.FetchedBatch{BaseOffset: base, Batch: b})
		return nil
	})
	if err != nil {
		return nil, refuse(ctx, err)
	}
	return out, nil
}

// FetchRecords returns plain records, from the very offset asked for.
func (s *consumerServer) FetchRecords(ctx context.Context, req *streamhousev1.FetchRequest) (*streamhousev1.FetchRecordsResponse, error) {
	page := recordPage{from: req.GetOffset(), out: &streamhousev1.FetchRecordsResponse{}}
	var err error
	page.out.StartOffset, page.out.EndOffset, err = s.fetch(ctx, req, page.add)
	if err != nil {
		return nil, refuse(ctx, err)
	}
	return page.out, nil
}

// recordPage gathers plain records. Compressed batches may grow far beyond
// what was asked for, so it counts once more.
type recordPage struct {
	from uint64
	size int
	full bool
	out  *streamhousev1.FetchRecordsResponse
}

func (p *recordPage) add(base uint64, b []byte) error {
	if p.full {
		return nil
	}
	var d batch.Decoder
	if _, err := d.Reset(b); err != nil {
		return fmt.Errorf("decode batch at offset %d: %w", base, err)
	}
	var r batch.Record
	for offset := base; d.Next(&r); offset++ {
		if offset < p.from {
			continue
		}
		p.size += batch.RecordSize(&r)
		if p.size > maxFetchBytes && len(p.out.GetRecords()) > 0 {
			p.full = true
			return nil
		}
		p.out.Records = append(p.out.Records, &streamhousev1.FetchedRecord{Offset: offset, Record: protoRecord(&r)})
	}
	return d.Err()
}

// protoRecord refers to r's bytes, which stay: every batch has a decoder of
// its own.
func protoRecord(r *batch.Record) *streamhousev1.Record {
	timestamp := r.Timestamp
	p := &streamhousev1.Record{Key: r.Key, Value: r.Value, Timestamp: &timestamp}
	for _, h := range r.Headers {
		p.Headers = append(p.Headers, &streamhousev1.Header{Key: h.Key, Value: h.Value})
	}
	return p
}

// fetch waits for records and passes the batches that hold them to each.
func (s *consumerServer) fetch(ctx context.Context, req *streamhousev1.FetchRequest, each func(base uint64, b []byte) error) (start, end uint64, err error) {
	maxBytes, wait, err := fetchLimits(req)
	if err != nil {
		return 0, 0, err
	}
	h, tenure, err := s.tenure(ctx, req, req.TopicId)
	if err != nil {
		return 0, 0, err
	}
	if err := await(ctx, tenure, req.GetOffset(), wait); err != nil {
		return 0, 0, s.hint(tenure.ID, err)
	}
	for try := 0; ; try++ {
		start, end = tenure.Index.Bounds()
		err = s.fetchOnce(ctx, h, tenure, req.GetOffset(), maxBytes, each)
		if errors.Is(err, index.ErrOutOfRange) {
			return 0, 0, s.outOfRange(ctx, h, tenure, req.GetOffset())
		}
		var gone *goneError
		if !errors.As(err, &gone) {
			return start, end, err
		}
		if err := s.stale(ctx, h, tenure); err != nil || try == staleTries {
			return 0, 0, cmp.Or(err, gone.refusal)
		}
	}
}

// staleTries is how often a fetch begins again that found an object gone. It was
// merged into another while the fetch was under way, or it is lost.
const staleTries = 2

func (s *consumerServer) fetchOnce(ctx context.Context, h *host.Host, tenure *flush.Tenure, offset uint64, maxBytes int, each func(base uint64, b []byte) error) error {
	ranges, err := tenure.Index.Find(ctx, offset, maxBytes)
	if err != nil {
		return lostRow(err, offset)
	}
	leave, err := s.rooms.enter(ctx, h, ranges, maxBytes)
	if err != nil {
		return err
	}
	defer leave()
	h.Reader.Ahead(ctx, tenure.Index, ranges, offset, maxBytes)
	return readRanges(ctx, h, ranges, offset, maxBytes, each)
}

// lostRow tells an index that is not as it should be from a store that could not
// be read.
func lostRow(err error, offset uint64) error {
	if errors.Is(err, index.ErrCorrupt) {
		return &goneError{reason.New(reason.CorruptSegment, "offset %d is not found: %v", offset, err)}
	}
	return err
}

// goneError says that what the index names is not there.
type goneError struct{ refusal error }

func (e *goneError) Error() string { return e.refusal.Error() }

// stale refuses a reader of a partition that has another owner by now: what its
// index here names may be merged and removed. The row tells, not this agent's
// own idea of its lease (R9).
func (s *consumerServer) stale(ctx context.Context, h *host.Host, t *flush.Tenure) error {
	owns, err := h.Owns(ctx, t)
	if err == nil && !owns {
		err = s.hint(t.ID, reason.New(reason.NotOwner, "this agent does not own partition %d of topic %d any more", t.Partition, t.Topic))
	}
	return err
}

func fetchLimits(req *streamhousev1.FetchRequest) (maxBytes int, wait time.Duration, err error) {
	maxBytes = int(req.GetMaxBytes())
	wait = time.Duration(req.GetMaxWaitMs()) * time.Millisecond
	if maxBytes == 0 {
		maxBytes = defaultFetchBytes
	}
	if maxBytes > maxFetchBytes || wait > maxFetchWait {
		return 0, 0, reason.New(reason.InvalidArgument, "max_bytes is at most %d and max_wait_ms at most %d", maxFetchBytes, maxFetchWait.Milliseconds())
	}
	return maxBytes, wait, nil
}

// await waits until there is a record at offset, but no longer than wait. A
// partition that is lost meanwhile says so (R7).
func await(ctx context.Context, t *flush.Tenure, offset uint64, wait time.Duration) error {
	if _, end := t.Index.Bounds(); offset != end || wait == 0 {
		return nil
	}
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := t.Index.Wait(waiting, offset)
	if waiting.Err() != nil {
		return ctx.Err() // patience is no error
	}
	if err != nil {
		return reason.New(reason.NotOwner, "this agent lost the partition while the fetch waited: %v", err)
	}
	return nil
}

// outOfRange refuses an offset that is not in the log. Whoever asks for more than
// there is may be ahead of an owner that has lost the partition without knowing.
func (s *consumerServer) outOfRange(ctx context.Context, h *host.Host, t *flush.Tenure, offset uint64) error {
	start, end := t.Index.Bounds()
	if offset > end {
		if err := s.stale(ctx, h, t); err != nil {
			return err
		}
	}
	return reason.New(reason.OffsetOutOfRange, "offset %d is not in the log, which has %d to %d", offset, start, end).
		With(reason.MetaStartOffset, strconv.FormatUint(start, 10)).
		With(reason.MetaEndOffset, strconv.FormatUint(end, 10))
}

// readRanges cuts ranges into batches and passes on those from offset on, up
// to maxBytes, at least one.
func readRanges(ctx context.Context, h *host.Host, ranges []index.Range, offset uint64, maxBytes int, each func(base uint64, b []byte) error) error {
	size := 0
	for _, r := range ranges {
		more, err := readRange(ctx, h, r, offset, func(base uint64, b []byte) (bool, error) {
			if size > 0 && size+len(b) > maxBytes {
				return false, nil
			}
			size += len(b)
			return true, pass(base, b, each)
		})
		var gone *goneError
		if errors.As(err, &gone) && size > 0 {
			return nil // the next fetch begins here
		}
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// readRange cuts a range into batches and calls each with those that reach
// beyond an offset, unchecked but for their headers, until it wants no more. An
// error of each stands for damage.
func readRange(ctx context.Context, h *host.Host, r index.Range, offset uint64, each func(base uint64, b []byte) (more bool, err error)) (more bool, err error) {
	b, err := h.Reader.Read(ctx, r, offset)
	if errors.Is(err, objstore.ErrNotFound) {
		return false, &goneError{damage(err, r.Segment.Key, r.Base)}
	}
	if err != nil {
		return false, damage(err, r.Segment.Key, r.Base)
	}
	base := r.Base
	for more = true; more && len(b) > 0; {
		header, err := batch.ParseHeader(b)
		if err == nil && int(header.Size) > len(b) {
			err = fmt.Errorf("%w: it is cut off", batch.ErrCorrupt)
		}
		if err == nil && base+uint64(header.Records) > offset {
			more, err = each(base, b[:header.Size:header.Size])
		}
		if err != nil {
			h.Reader.Forget(r)
			return false, damage(err, r.Segment.Key, base)
		}
		base += uint64(header.Records)
		b = b[header.Size:]
	}
	return more, nil
}

// pass hands a batch on that is as it was when it was written.
func pass(base uint64, b []byte, each func(base uint64, b []byte) error) error {
	if _, err := batch.Check(b); err != nil {
		return err
	}
	return each(base, b)
}

// damage tells stored bytes that are not what was written, or are gone, which
// no retry mends, from a store that could not be read.
func damage(err error, key string, offset uint64) error {
	if errors.Is(err, objstore.ErrNotFound) {
		return reason.New(reason.CorruptSegment, "segment %s, which holds offset %d, is missing in the store", key, offset)
	}
	if errors.Is(err, batch.ErrCorrupt) || errors.Is(err, objstore.ErrRange) {
		return reason.New(reason.CorruptSegment, "segment %s is damaged at offset %d: %v", key, offset, err)
	}
	return fmt.Errorf("segment %s at offset %d: %w", key, offset, err)
}
