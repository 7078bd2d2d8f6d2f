package metatest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
)

var kindChecks = []check{
	{"EveryField", everyField},
	{"ZeroFields", zeroFields},
	{"GetOverwrites", getOverwrites},
	{"NothingIsShared", nothingIsShared},
	{"NewerFormat", newerFormat},
}

// Each field of each kind comes back, from every way to read it.
func everyField(t *testing.T, s meta.Store) {
	for _, kind := range meta.Kinds() {
		row := filled(t, kind, 1)
		mustCreate(t, s, row)
		wantStored(t, s, row)
		next := filled(t, kind, 2)
		setKey(t, next, row)
		*next.Head() = *row.Head()
		if err := s.Swap(t.Context(), next); err != nil {
			t.Fatalf("swap %s: %v", kind, err)
		}
		wantStored(t, s, next)
		wantRows(t, s.Query(t.Context(), kind, row.Key().Hash, 0), next)
		wantRows(t, s.Scan(t.Context(), kind), next)
	}
}

func zeroFields(t *testing.T, s meta.Store) {
	for _, kind := range meta.Kinds() {
		row := blank(t, filled(t, kind, 1))
		mustCreate(t, s, row)
		wantStored(t, s, row)
	}
}

// A row that is read into keeps nothing of what it held: a map or a slice that
// the stored row does not have would otherwise shine through.
func getOverwrites(t *testing.T, s meta.Store) {
	for _, kind := range meta.Kinds() {
		stored := blank(t, filled(t, kind, 1))
		mustCreate(t, s, stored)
		got := filled(t, kind, 2)
		setKey(t, got, stored)
		if err := s.Get(t.Context(), got); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, got, stored)
	}
}

// Neither the row that was written nor one that was read is the stored one: a
// caller that goes on working with its row must not change the store.
func nothingIsShared(t *testing.T, s meta.Store) {
	for _, kind := range meta.Kinds() {
		row, want := filled(t, kind, 1), filled(t, kind, 1)
		hash := want.Key().Hash
		mustCreate(t, s, row)
		*want.Head() = *row.Head()
		scribble(reflect.ValueOf(row).Elem())
		wantStored(t, s, want)

		swapped := filled(t, kind, 1)
		*swapped.Head() = *want.Head()
		if err := s.Swap(t.Context(), swapped); err != nil {
			t.Fatal(err)
		}
		*want.Head() = *swapped.Head()
		scribble(reflect.ValueOf(swapped).Elem())
		wantStored(t, s, want)

		got := blank(t, want)
		if err := s.Get(t.Context(), got); err != nil {
			t.Fatal(err)
		}
		scribble(reflect.ValueOf(got).Elem())
		for _, rows := range [][]meta.Row{
			collect(t, s.Query(t.Context(), kind, hash, 0)),
			collect(t, s.Scan(t.Context(), kind)),
		} {
			for _, row := range rows {
				scribble(reflect.ValueOf(row).Elem())
			}
		}
		wantStored(t, s, want)
	}
}

// An agent that is older than the store stops with a sentence, instead of
// reading half of a row.
func newerFormat(t *testing.T, s meta.Store) {
	for _, kind := range meta.Kinds() {
		row := filled(t, kind, 1)
		row.Head().Format = meta.Format + 1
		mustCreate(t, s, row)
		got := blank(t, row)
		before := meta.Clone(got)
		for way, err := range map[string]error{
			"get":   s.Get(t.Context(), got),
			"query": last(s.Query(t.Context(), kind, row.Key().Hash, 0)),
			"scan":  last(s.Scan(t.Context(), kind)),
		} {
			want := fmt.Sprintf("has format %d", meta.Format+1)
			if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "upgrade") {
				t.Errorf("%s of a newer %s row: got %v, want a refusal that says %q and how to go on", way, kind, err, want)
			}
		}
		wantEqual(t, got, before)
	}
}
