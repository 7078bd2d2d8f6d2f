// Package metatest checks that a backend keeps the contract of meta.Store.
// Every backend, and every decorator around one, runs it.
package metatest

import (
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

// check is one promise of the contract, tried on a store of its own.
type check struct {
	name string
	run  func(t *testing.T, s meta.Store)
}

// Run checks everything that the contract promises while a store is open.
// open returns a new, empty store each time; Run closes it.
func Run(t *testing.T, open func(t *testing.T) meta.Store) {
	t.Helper()
	for _, c := range slices.Concat(writeChecks, kindChecks, queryChecks, raceChecks) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			t.Cleanup(func() { closeStore(t, s) })
			c.run(t, s)
		})
	}
}

// entry is a small journal row, the kind that has both a hash and a range.
func entry(session string, seq uint64) *meta.Entry {
	return &meta.Entry{Session: session, Seq: seq}
}

func closeStore(t *testing.T, s meta.Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

func mustCreate(t *testing.T, s meta.Store, rows ...meta.Row) {
	t.Helper()
	for _, row := range rows {
		if err := s.Create(t.Context(), row); err != nil {
			t.Fatalf("create %s %v: %v", row.Kind(), row.Key(), err)
		}
	}
}

// createAll creates rows from several goroutines: a backend that is far away,
// or that waits for a disk, takes long for many rows one by one.
func createAll(t *testing.T, s meta.Store, rows []meta.Row) {
	t.Helper()
	var wg sync.WaitGroup
	for chunk := range slices.Chunk(rows, len(rows)/16+1) {
		wg.Go(func() {
			for _, row := range chunk {
				if err := s.Create(t.Context(), row); err != nil {
					t.Errorf("create %s %v: %v", row.Kind(), row.Key(), err)
				}
			}
		})
	}
	wg.Wait()
}

// wantStored fails unless the stored row equals want in every field.
func wantStored(t *testing.T, s meta.Store, want meta.Row) {
	t.Helper()
	got := blank(t, want)
	if err := s.Get(t.Context(), got); err != nil {
		t.Fatalf("get %s %v: %v", want.Kind(), want.Key(), err)
	}
	wantEqual(t, got, want)
}

func wantEqual(t *testing.T, got, want meta.Row) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s row differs:\n got %+v\nwant %+v", want.Kind(), got, want)
	}
}

// blank is a row with want's key and nothing else.
func blank(t *testing.T, want meta.Row) meta.Row {
	t.Helper()
	row, err := meta.New(want.Kind())
	if err != nil {
		t.Fatal(err)
	}
	setKey(t, row, want)
	return row
}

// setKey copies what Key is made of.
func setKey(t *testing.T, to, from meta.Row) {
	t.Helper()
	switch to := to.(type) {
	case *meta.Session:
		to.ID = as[*meta.Session](from).ID
	case *meta.Partition:
		to.Topic, to.Partition = as[*meta.Partition](from).Topic, as[*meta.Partition](from).Partition
	case *meta.Entry:
		to.Session, to.Seq = as[*meta.Entry](from).Session, as[*meta.Entry](from).Seq
	case *meta.Run:
		to.Log, to.Last = as[*meta.Run](from).Log, as[*meta.Run](from).Last
	case *meta.Merge:
		to.Session, to.Number = as[*meta.Merge](from).Session, as[*meta.Merge](from).Number
	case *meta.Topic:
		to.Name = as[*meta.Topic](from).Name
	case *meta.Tombstone:
		to.Topic = as[*meta.Tombstone](from).Topic
	case *meta.Counter:
		to.Name = as[*meta.Counter](from).Name
	default:
		t.Fatalf("metatest does not know what the key of a %s row is made of: add it to setKey", to.Kind())
	}
	if to.Key() != from.Key() {
		t.Fatalf("a %s row with the key fields of %v has the key %v", to.Kind(), from.Key(), to.Key())
	}
}

func as[R meta.Row](row meta.Row) R {
	own, _ := row.(R) // setKey is called with rows of one kind
	return own
}
