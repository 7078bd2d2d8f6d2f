package rpc

import (
	"cmp"
	"context"
	"errors"

	"github.com/streamhouse/streamhouse/proto/batch"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/internal/flush"
	"github.com/streamhouse/streamhouse/services/agent/internal/host"
	"github.com/streamhouse/streamhouse/services/agent/internal/index"
)

// FindOffset looks for the first record that is not older than a time.
func (s *consumerServer) FindOffset(ctx context.Context, req *streamhousev1.FindOffsetRequest) (*streamhousev1.FindOffsetResponse, error) {
	h, tenure, err := s.tenure(ctx, req, req.TopicId)
	if err != nil {
		return nil, refuse(ctx, err)
	}
	out, err := s.find(ctx, h, tenure, req.GetTimestampMs())
	if err != nil {
		return nil, refuse(ctx, err)
	}
	return out, nil
}

// find goes through what may hold such a record, in order. All that is
// committed when it begins is looked at.
func (s *consumerServer) find(ctx context.Context, h *host.Host, t *flush.Tenure, timestamp int64) (*streamhousev1.FindOffsetResponse, error) {
	start, end := t.Index.Bounds()
	f := finder{from: start, timestamp: timestamp}
	for next := start; next < end && !f.found; {
		var err error
		if next, err = s.seek(ctx, h, t, &f, next, end); err != nil {
			return nil, err
		}
	}
	out := &streamhousev1.FindOffsetResponse{Offset: end, StartOffset: f.from, EndOffset: end}
	if f.found {
		out.Offset, out.TimestampMs = f.offset, &f.at
	}
	return out, nil
}

// seek looks from next to end. It returns from where to look again, which is
// end unless something moved meanwhile.
func (s *consumerServer) seek(ctx context.Context, h *host.Host, t *flush.Tenure, f *finder, next, end uint64) (uint64, error) {
	for r, err := range t.Index.Since(ctx, next, end, f.timestamp) {
		if err == nil {
			start, _ := t.Index.Bounds()
			f.from = max(f.from, start)
			err = s.look(ctx, h, t, r, f)
		} else {
			err = lostRow(err, f.from)
		}
		switch {
		case err != nil && r.Segment != nil && moved(ctx, t, r):
			return r.Base, nil
		case err != nil:
			return end, s.gone(ctx, h, t, err)
		case f.found:
			return end, nil
		}
	}
	return end, nil
}

// gone tells what another owner took away from what is lost.
func (s *consumerServer) gone(ctx context.Context, h *host.Host, t *flush.Tenure, err error) error {
	var gone *goneError
	if !errors.As(err, &gone) {
		return err
	}
	return cmp.Or(s.stale(ctx, h, t), gone.refusal)
}

// moved says whether a range lies elsewhere by now, or nowhere: going through a
// log takes long enough for its objects to be merged, or let go.
func moved(ctx context.Context, t *flush.Tenure, r index.Range) bool {
	if start, _ := t.Index.Bounds(); start > r.Base {
		return start >= r.End() || !holds(ctx, t, start, r)
	}
	return !holds(ctx, t, r.Base, r)
}

// holds says whether an offset still lies in a range. Where nobody can tell, the
// next look does.
func holds(ctx context.Context, t *flush.Tenure, offset uint64, r index.Range) bool {
	now, err := t.Index.Find(ctx, offset, 1)
	return err == nil && len(now) > 0 && now[0].Segment.Key == r.Segment.Key && now[0].At == r.At
}

// look reads one range. Where nothing tells how old it is, nothing may tell that
// of the next ones either, and they are read ahead.
func (s *consumerServer) look(ctx context.Context, h *host.Host, t *flush.Tenure, r index.Range, f *finder) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	leave, err := s.rooms.enter(ctx, h, []index.Range{r}, 0)
	if err != nil {
		return err
	}
	defer leave()
	if r.MaxTimestamp == index.UnknownTimestamp {
		h.Reader.Ahead(ctx, t.Index, []index.Range{r}, r.Base, int(r.Size))
	}
	_, err = readRange(ctx, h, r, f.from, f.batch)
	return err
}

// finder looks for the first record, from an offset on, that is not older than
// a timestamp.
type finder struct {
	from      uint64
	timestamp int64

	found  bool
	offset uint64
	at     int64 // its timestamp
}

// batch looks at the header first: few batches have to be decompressed.
func (f *finder) batch(base uint64, b []byte) (more bool, err error) {
	header, err := batch.Check(b)
	if err != nil || header.MaxTimestamp < f.timestamp {
		return true, err
	}
	var d batch.Decoder
	if _, err := d.Reset(b); err != nil {
		return false, err
	}
	var r batch.Record
	for offset := base; d.Next(&r); offset++ {
		if offset >= f.from && r.Timestamp >= f.timestamp {
			f.found, f.offset, f.at = true, offset, r.Timestamp
			return false, nil
		}
	}
	return true, d.Err()
}
