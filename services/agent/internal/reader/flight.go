package reader

import (
	"bytes"
	"context"
	"fmt"

	"github.com/streamhouse/streamhouse/services/agent/internal/index"
)

// AheadBytes is how much is read ahead of a reader, and the most that one
// request asks for, unless one range is larger, or the object ends soon.
const AheadBytes = 8 << 20

// aheadRest is how much more one request asks for, rather than to leave so little
// of an object to another.
const aheadRest = AheadBytes / 4

// aheadRequests bounds how many requests are begun ahead of one reader.
const aheadRequests = 16

// flight is a read of one range that is under way. All who want the range wait
// for the same one.
type flight struct {
	id     rangeID
	shared bool // the request is for other ranges as well
	asked  bool // somebody waits; guarded by Reader.mu
	done   chan struct{}
	b      []byte
	err    error
}

// join finds the flight for a range, or begins it.
func (r *Reader) join(id rangeID) (*flight, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := r.flying[id]
	switch {
	case f != nil:
	case r.life.Err() != nil:
		return nil, errClosed
	default:
		f = &flight{id: id, done: make(chan struct{})}
		if f.b = r.ranges.get(id, false); f.b != nil { // it has just landed
			close(f.done)
			return f, nil
		}
		r.beginLocked([]*flight{f})
	}
	f.asked = true
	return f, nil
}

// beginLocked reads ranges that follow each other in one object, by one request.
func (r *Reader) beginLocked(group []*flight) {
	for _, f := range group {
		f.shared = len(group) > 1
		r.flying[f.id] = f
	}
	r.gets.Go(func() { r.get(group) })
}

func (r *Reader) get(group []*flight) {
	ctx, cancel := context.WithTimeout(r.life, getTimeout)
	defer cancel()
	first, last := group[0].id, group[len(group)-1].id
	b, err := r.objects.Get(ctx, first.key, int64(first.at), int64(last.at)+int64(last.size)-int64(first.at))
	if err != nil {
		err = fmt.Errorf("read segment %s: %w", first.key, err)
	}
	for _, f := range group {
		if f.err = err; err == nil {
			f.b = b[f.id.at-first.at:][:f.id.size]
			if f.shared {
				f.b = bytes.Clone(f.b) // each is kept, and goes, on its own
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range group {
		if err == nil {
			r.ranges.put(f.id, f.b, f.asked)
		}
		delete(r.flying, f.id)
		close(f.done)
	}
}

// Ahead begins to read the ranges that a fetch of so many bytes from an offset
// on is about to ask for and, for a reader that goes through the log in order,
// what follows. It does not wait.
func (r *Reader) Ahead(ctx context.Context, log *index.Log, ranges []index.Range, offset uint64, maxBytes int) {
	now := len(ranges)
	if before, ok := log.Before(ctx, offset); ok && r.ranges.wasAsked(idOf(before)) {
		if more, err := log.Find(ctx, offset, maxBytes+AheadBytes+2*aheadRest); err == nil {
			ranges = more
		}
	}
	if len(ranges) > 1 {
		r.begin(ranges, now)
	}
}

// begin reads what is missing of ranges, of which a reader is about to ask for
// the first now. What lies side by side in an object is one request. It begins
// nothing while some of what follows is there, so that requests are large, or
// when too much was read ahead that nobody asked for yet.
func (r *Reader) begin(ranges []index.Range, now int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	first := 0
	for first < len(ranges) && r.hereLocked(ranges[first]) {
		first++
	}
	if first > now || r.life.Err() != nil {
		return
	}
	missing := ranges[first:]
	var groups [][]*flight
	for i := range window(missing, now-first, r.ranges.aheadRoom()-r.aheadLocked()) {
		if r.hereLocked(missing[i]) {
			continue
		}
		f := &flight{id: idOf(missing[i]), done: make(chan struct{})}
		if last := len(groups) - 1; last >= 0 && f.id.follows(groups[last]) {
			groups[last] = append(groups[last], f)
		} else if len(groups) == aheadRequests {
			break
		} else {
			groups = append(groups, []*flight{f})
		}
	}
	for _, group := range groups {
		r.beginLocked(group)
	}
}

// window is how many ranges are read in one go, as far as there is room, of which
// a reader wants the first now: AheadBytes, and the rest of the object if that is
// little. It ends with the object before where it would only begin another.
func window(ranges []index.Range, now int, room int64) (n int) {
	bytes := int64(0)
	for n < len(ranges) && bytes+int64(ranges[n].Size) <= min(room, AheadBytes) {
		bytes += int64(ranges[n].Size)
		n++
	}
	if n == 0 {
		return 0
	}
	rest, end := int64(0), n
	for end < len(ranges) && rest <= aheadRest && adjoin(ranges[end-1], ranges[end]) {
		rest += int64(ranges[end].Size)
		end++
	}
	if rest == 0 || rest <= min(aheadRest, room-bytes) {
		return end
	}
	before, border := bytes, n
	for border > 0 && (border == n || adjoin(ranges[border-1], ranges[border])) {
		border--
		before -= int64(ranges[border].Size)
	}
	if before >= AheadBytes/2 && border >= now {
		return border
	}
	return n
}

// adjoin tells whether b begins where a ends, in the same object.
func adjoin(a, b index.Range) bool {
	return a.Segment.Key == b.Segment.Key && uint64(a.At)+uint64(a.Size) == uint64(b.At)
}

// follows tells whether a range begins where a group of them ends.
func (id rangeID) follows(group []*flight) bool {
	last := group[len(group)-1].id
	return id.key == last.key && id.at == last.at+last.size
}

// hereLocked tells whether a range costs no further request.
func (r *Reader) hereLocked(g index.Range) bool {
	id := idOf(g)
	return r.flying[id] != nil || r.recent.has(id.key) || r.ranges.has(id)
}

// aheadLocked is how much is under way that nobody asked for.
func (r *Reader) aheadLocked() (bytes int64) {
	for _, f := range r.flying {
		if !f.asked {
			bytes += int64(f.id.size)
		}
	}
	return bytes
}
