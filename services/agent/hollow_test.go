package agent

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"sort"
	"strings"
	"sync"

	"github.com/streamhouse/streamhouse/services/agent/internal/compaction"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// hollow keeps objects in memory without the zeros in them, so that hours of a
// load whose values are zeros fit. Of what compaction writes it keeps the size
// alone: nobody reads it where there are no readers.
type hollow struct {
	mu      sync.Mutex
	objects map[string]shell
}

func newHollow() *hollow { return &hollow{objects: map[string]shell{}} }

// shell is what is kept of an object.
type shell struct {
	size int64
	kept []byte
	runs []hollowRun // what is not zeros, ascending
}

// hollowRun says that n bytes of an object lie at a place in kept.
type hollowRun struct{ at, from, n int64 }

// grain is how many zeros are left out at a time.
const grain = 128

var zeros [grain]byte

// Put implements objstore.Store.
func (h *hollow) Put(ctx context.Context, key string, body objstore.Body) error {
	s := shell{}
	for _, part := range body.Parts {
		if strings.HasPrefix(key, compaction.Folder) {
			s.size += int64(len(part))
			continue
		}
		for len(part) > 0 {
			n := min(grain, len(part))
			s.add(part[:n])
			part = part[n:]
		}
	}
	s.kept = bytes.Clone(s.kept) // without what append took in advance
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.objects[key]; ok {
		return fmt.Errorf("put %q: %w", key, objstore.ErrExists)
	}
	h.objects[key] = s
	return ctx.Err()
}

func (s *shell) add(b []byte) {
	at, n := s.size, int64(len(b))
	s.size += n
	if bytes.Equal(b, zeros[:n]) {
		return
	}
	if last := len(s.runs) - 1; last >= 0 && s.runs[last].at+s.runs[last].n == at {
		s.runs[last].n += n
	} else {
		s.runs = append(s.runs, hollowRun{at: at, from: int64(len(s.kept)), n: n})
	}
	s.kept = append(s.kept, b...)
}

// Get implements objstore.Store.
func (h *hollow) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	h.mu.Lock()
	s, ok := h.objects[key]
	h.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("get %q: %w", key, objstore.ErrNotFound)
	}
	if length == -1 {
		length = s.size - offset
	}
	if offset < 0 || length < 0 || length > s.size-offset {
		return nil, fmt.Errorf("get %q: %w", key, objstore.ErrRange)
	}
	content := make([]byte, length)
	first := sort.Search(len(s.runs), func(i int) bool { return s.runs[i].at+s.runs[i].n > offset })
	for _, r := range s.runs[first:] {
		if r.at >= offset+length {
			break
		}
		skip := max(0, offset-r.at)
		copy(content[r.at+skip-offset:], s.kept[r.from+skip:r.from+r.n])
	}
	return content, ctx.Err()
}

// List implements objstore.Store.
func (h *hollow) List(_ context.Context, prefix string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		h.mu.Lock()
		var infos []objstore.Info
		for key := range h.objects {
			if strings.HasPrefix(key, prefix) {
				infos = append(infos, objstore.Info{Key: key, Size: h.objects[key].size})
			}
		}
		h.mu.Unlock()
		for _, info := range infos {
			if !yield(info, nil) {
				return
			}
		}
	}
}

// Delete implements objstore.Store.
func (h *hollow) Delete(ctx context.Context, keys ...string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range keys {
		delete(h.objects, key)
	}
	return ctx.Err()
}

// Close implements objstore.Store.
func (*hollow) Close() error { return nil }
