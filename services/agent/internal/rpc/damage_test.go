package rpc

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"google.golang.org/grpc/codes"

	"github.com/streamhouse/streamhouse/proto/batch"
	"github.com/streamhouse/streamhouse/proto/reason"
	streamhousev1 "github.com/streamhouse/streamhouse/proto/streamhouse/v1"
	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
	"github.com/streamhouse/streamhouse/services/agent/internal/objstore"
)

// damage rewrites every stored object that holds b.
func (a *agent) damage(b []byte, change func(object []byte, at int) []byte) {
	a.t.Helper()
	damaged := 0
	for info, err := range a.objects.List(a.t.Context(), "") {
		if err != nil {
			a.t.Fatal(err)
		}
		object, err := a.objects.Get(a.t.Context(), info.Key, 0, -1)
		if err != nil {
			a.t.Fatal(err)
		}
		at := bytes.Index(object, b)
		if at < 0 {
			continue
		}
		damaged++
		object = change(object, at)
		if err := a.objects.Delete(a.t.Context(), info.Key); err != nil {
			a.t.Fatal(err)
		}
		body := objstore.Body{Parts: [][]byte{object}, Size: int64(len(object)), CRC32C: batch.Update(0, object)}
		if err := a.objects.Put(a.t.Context(), info.Key, body); err != nil {
			a.t.Fatal(err)
		}
	}
	if damaged != 1 {
		a.t.Fatalf("%d objects hold the batch", damaged)
	}
}

// Stored bytes that are damaged are refused for good, whatever part of a batch
// was hit. They were answered with STORAGE_UNAVAILABLE, and a reader tried
// them again for ever.
func TestFetchOfDamagedBytes(t *testing.T) {
	flip := func(i int) func([]byte, int) []byte {
		return func(object []byte, at int) []byte {
			object[at+i] ^= 1
			return object
		}
	}
	for name, change := range map[string]func([]byte, int) []byte{
		"magic":   flip(0),
		"header":  flip(20),
		"payload": flip(batch.HeaderSize + 2),
		"last":    flip(len(encode(1, 1, 1, 10)) - 1),
		"cut off": func(object []byte, at int) []byte { return object[:at+10] },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := serve(t, faults.Plan{})
				bad := encode(1, 1, 1, 10)
				a.append(0, encode(1, 0, 1, 10))
				a.append(0, bad)
				a.append(0, encode(1, 2, 1, 10))
				for n := range 2 { // push them out of memory
					a.append(1, encode(1, uint64(n), 1, 9<<20))
				}
				a.damage(bad, change)
				ask := &streamhousev1.FetchRequest{Topic: "t", Offset: 1}
				_, fetched := a.consume.Fetch(t.Context(), ask)
				_, records := a.consume.FetchRecords(t.Context(), ask)
				for _, err := range []error{fetched, records} {
					e := reason.From(err)
					if e == nil || !errors.Is(e, reason.CorruptSegment) || e.Code != codes.DataLoss || e.Recovery() != reason.Fail || !strings.Contains(e.Message, "offset 1") {
						t.Errorf("got %v", err)
					}
				}
				// What lies around it can be read.
				for _, offset := range []uint64{0, 2} {
					out, err := a.consume.Fetch(t.Context(), &streamhousev1.FetchRequest{Topic: "t", Offset: offset, MaxBytes: 1})
					if err != nil || len(out.GetBatches()) != 1 || out.GetBatches()[0].GetBaseOffset() != offset {
						t.Errorf("offset %d: %v", offset, err)
					}
				}
			})
		})
	}
}

// A batch of a newer format is not damaged: a newer agent can read it.
func TestUnreadableIsNotDamaged(t *testing.T) {
	for _, err := range []error{errors.Join(batch.ErrTooNew), objstore.ErrNotFound} {
		if e := reason.From(refuse(t.Context(), fmt.Errorf("read: %w", err))); !errors.Is(e, reason.StorageUnavailable) {
			t.Errorf("%v: %v", err, e)
		}
	}
}
