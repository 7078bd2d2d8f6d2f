//go:build mutations

package cleanup

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/meta"
	"github.com/streamhouse/streamhouse/services/agent/internal/mutation"
)

// What each rule, switched off, lets go.
func TestMutations(t *testing.T) {
	for rule, c := range map[mutation.Rule]struct {
		setup func(w *world)
		goes  string
	}{
		mutation.TrimEarly: {func(w *world) {
			w.create(w.sealed(peer), partition(0, own, 0))
			w.commit(peer, 0, records(0, 0))
			w.seal(peer, 1)
		}, "object b/0-x"},
		mutation.RemoveByAge: {func(w *world) {
			w.create(&meta.Session{ID: peer}, partition(0, peer, 0))
			w.put(key(peer, 3))
		}, "object b/3-x"},
		mutation.SealByAge: {func(w *world) {
			w.create(w.sealed(peer), partition(0, own, 10))
			w.commit(peer, 0, records(0, 0))
			w.seal(peer, 1)
		}, "journal b/1"},
	} {
		for _, off := range []mutation.Rule{"", rule} {
			synctest.Test(t, func(t *testing.T) {
				mutation.Switch(off)
				defer mutation.Switch("")
				w := newWorld(t)
				c.setup(w)
				cleaner := w.cleaner(Options{Grace: grace, ListEvery: 1})
				for range 4 {
					w.must(cleaner.Others(t.Context()))
					time.Sleep(grace)
				}
				if w.content()[c.goes] == (off == rule) {
					t.Errorf("%s: %s is there: %t", off, c.goes, w.content()[c.goes])
				}
			})
		}
	}
}
