// Package memory keeps objects and rows in the process's memory, for tests and
// benchmarks. Nothing of it outlives the process.
package memory

import (
	"container/list"
	"context"
	"fmt"
	"hash/crc32"
	"iter"
	"math"
	"strings"
	"sync"

	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// Objects is an objstore.Store. It is safe for concurrent use.
type Objects struct {
	keep int64 // bytes of keys and content
	mu   struct {
		sync.RWMutex
		byKey map[string]*list.Element // of object
		byAge list.List                // oldest first
		bytes int64
	}
}

// object's content is a string because that is allocated once without being
// cleared first, and because nothing can change it, so that a reader copies
// from it without holding the lock.
type object struct {
	key     string
	content string
}

func (o object) bytes() int64 { return int64(len(o.key) + len(o.content)) }

// NewObjects returns a store that keeps everything.
func NewObjects() *Objects { return NewSink(math.MaxInt64) }

// NewSink returns a store for benchmarks that write more than fits in memory:
// it keeps only the newest objects, up to keep bytes of keys and content in
// all (0: none, and nothing is copied). One that it dropped is as if it had
// been deleted: Get gives ErrNotFound, List leaves it out, and its key can be
// put again. An object larger than keep is dropped at once.
func NewSink(keep int64) *Objects {
	o := &Objects{keep: keep}
	o.mu.byKey = map[string]*list.Element{}
	return o
}

// Put implements objstore.Store. It copies the parts once.
func (o *Objects) Put(ctx context.Context, key string, body objstore.Body) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := verify(body); err != nil {
		return fmt.Errorf("put %q: %w", key, err)
	}
	var content string
	dropped := body.Size > o.keep-int64(len(key))
	if !dropped {
		content = join(body)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if _, ok := o.mu.byKey[key]; ok {
		return fmt.Errorf("put %q: %w", key, objstore.ErrExists)
	}
	if !dropped {
		o.addLocked(object{key, content})
	}
	return nil
}

func verify(body objstore.Body) error {
	var size int64
	var crc uint32
	for _, part := range body.Parts {
		size += int64(len(part))
		crc = crc32.Update(crc, castagnoli, part)
	}
	if size != body.Size || crc != body.CRC32C {
		return fmt.Errorf("body has %d bytes with CRC-32C %08x, where %d with %08x were announced",
			size, crc, body.Size, body.CRC32C)
	}
	return nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func join(body objstore.Body) string {
	var b strings.Builder
	b.Grow(int(body.Size))
	for _, part := range body.Parts {
		b.Write(part)
	}
	return b.String()
}

func (o *Objects) addLocked(added object) {
	o.mu.byKey[added.key] = o.mu.byAge.PushBack(added)
	o.mu.bytes += added.bytes()
	for o.mu.bytes > o.keep {
		o.removeLocked(o.mu.byAge.Front())
	}
}

func (o *Objects) removeLocked(e *list.Element) {
	gone, _ := o.mu.byAge.Remove(e).(object)
	delete(o.mu.byKey, gone.key)
	o.mu.bytes -= gone.bytes()
}

// Get implements objstore.Store.
func (o *Objects) Get(ctx context.Context, key string, offset, length int64) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	content, ok := o.find(key)
	if !ok {
		return nil, fmt.Errorf("get %q: %w", key, objstore.ErrNotFound)
	}
	size := int64(len(content))
	if length == -1 {
		length = size - offset
	}
	if offset < 0 || length < 0 || length > size-offset {
		return nil, fmt.Errorf("get %q, %d bytes from %d of %d: %w", key, length, offset, size, objstore.ErrRange)
	}
	return []byte(content[offset : offset+length]), nil
}

func (o *Objects) find(key string) (content string, ok bool) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	e, ok := o.mu.byKey[key]
	if !ok {
		return "", false
	}
	found, _ := e.Value.(object)
	return found.content, true
}

// List implements objstore.Store. It shows the objects that were there when
// it began, oldest first.
func (o *Objects) List(ctx context.Context, prefix string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		for _, info := range o.snapshot(prefix) {
			if ctx.Err() != nil {
				break
			}
			if !yield(info, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(objstore.Info{}, err)
		}
	}
}

func (o *Objects) snapshot(prefix string) []objstore.Info {
	o.mu.RLock()
	defer o.mu.RUnlock()
	var infos []objstore.Info
	for e := o.mu.byAge.Front(); e != nil; e = e.Next() {
		if found, _ := e.Value.(object); strings.HasPrefix(found.key, prefix) {
			infos = append(infos, objstore.Info{Key: found.key, Size: int64(len(found.content))})
		}
	}
	return infos
}

// Delete implements objstore.Store.
func (o *Objects) Delete(ctx context.Context, keys ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, key := range keys {
		if e, ok := o.mu.byKey[key]; ok {
			o.removeLocked(e)
		}
	}
	return nil
}

// Close implements objstore.Store. What was put stays readable.
func (*Objects) Close() error { return nil }
