package cli

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/local"
	"github.com/streamhouse/streamhouse/services/agent"
)

func TestClean(t *testing.T) {
	dir := t.TempDir()
	start := func() (*local.Agent, *shell) {
		t.Helper()
		a, err := local.Start(t.Context(), agent.StoreConfig{Kind: agent.StoreFiles, Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return a, &shell{t: t, server: a.Addr}
	}
	a, s := start()
	s.run("", "topic", "create", "gone", "--partitions", "1")
	s.run("", "topic", "create", "kept", "--partitions", "1")
	s.run("a\nb\n", "produce", "gone")
	s.run("c\nd\n", "produce", "kept")
	s.run("", "topic", "delete", "gone", "--yes")
	clean := []string{"clean", "--store-dir", dir}
	if r := runWith(t.Context(), nil, clean...); r.code != exitFailed || !strings.Contains(r.err, "in use by") {
		t.Errorf("a store in use: %+v", r)
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}

	before := objectsIn(t, dir)
	r := runWith(t.Context(), nil, append(clean, "--dry-run")...)
	if r.code != exitOK || !strings.Contains(r.out, "would go") || !strings.Contains(r.out, "segment") || !strings.Contains(r.out, "its topic was deleted") {
		t.Errorf("a dry run: %+v", r)
	}
	if now := objectsIn(t, dir); now != before {
		t.Errorf("a dry run removed objects: %d of %d are left", now, before)
	}
	r = runWith(t.Context(), nil, append(clean, "--grace", "10ms", "--output", "json", "--verbose")...)
	var got cleanJSON
	decode(t, r.out, &got)
	found := map[string]int{}
	for _, g := range got.Removed {
		found[g.What] += g.Number
	}
	if r.code != exitOK || found["segment"] == 0 || found["journal row"] != found["segment"] || found["partition row"] != 1 || found["tombstone"] != 1 || len(got.Each) == 0 {
		t.Errorf("got %v from %+v", found, r)
	}
	if now := objectsIn(t, dir); now >= before {
		t.Errorf("%d of %d objects are left", now, before)
	}
	if !strings.Contains(r.err, "they go in 10ms") {
		t.Errorf("it does not tell what it waits for: %q", r.err)
	}
	if r := runWith(t.Context(), nil, append(clean, "--grace", "0s")...); r.code != exitOK || r.out != "nothing to remove\n" {
		t.Errorf("once more: %+v", r)
	}

	if r := runWith(t.Context(), nil, "verify", "--store-dir", dir); r.code != exitOK || !strings.Contains(r.out, "2 records") {
		t.Errorf("afterwards: %+v", r)
	}
	a, s = start()
	if got := s.run("", "consume", "kept"); got != "c\nd\n" {
		t.Errorf("what was kept reads %q", got)
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
}

// What was compacted by agents that are gone leaves merged objects, the newest
// states and seals; all of the log is there.
func TestCleanAfterCompaction(t *testing.T) {
	dir := t.TempDir()
	var want strings.Builder
	for run := range 3 {
		a := startCompacting(t, dir)
		s := &shell{t: t, server: a.Addr}
		if run == 0 {
			s.run("", "topic", "create", "orders", "--partitions", "1")
		}
		for n := range 5 {
			line := fmt.Sprintf("%d/%d\n", run, n)
			want.WriteString(line)
			s.run(line, "produce", "orders")
		}
		waitForMerge(t, dir, run+1)
		if err := a.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	verified := func() string {
		t.Helper()
		r := runWith(t.Context(), nil, "verify", "--store-dir", dir)
		if r.code != exitOK || !strings.Contains(r.out, "15 records") {
			t.Fatalf("verify: %+v", r)
		}
		return r.out
	}
	verified()
	r := runWith(t.Context(), nil, "clean", "--store-dir", dir, "--grace", "0s", "--output", "json")
	var got cleanJSON
	decode(t, r.out, &got)
	found := map[string]int{}
	for _, g := range got.Removed {
		found[g.What] += g.Number
	}
	if r.code != exitOK || found["segment"] < 10 || found["session row"] < 2 || found["merged object"] > 0 {
		t.Errorf("removed %v: %+v", found, r)
	}
	verified()
	a := startCompacting(t, dir)
	if got := (&shell{t: t, server: a.Addr}).run("", "consume", "orders"); got != want.String() {
		t.Errorf("consumed %q, want %q", got, want.String())
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
}

func startCompacting(t *testing.T, dir string) *local.Agent {
	t.Helper()
	a, err := local.StartWith(t.Context(), agent.Config{
		Store: agent.StoreConfig{Kind: agent.StoreFiles, Dir: dir}, Compaction: agent.CompactionConfig{Age: 200 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// waitForMerge waits until so many sessions have merged something, and a little
// more, for the checkpoint.
func waitForMerge(t *testing.T, dir string, sessions int) {
	t.Helper()
	for range 200 {
		found, err := filepath.Glob(filepath.Join(dir, "objects", "objects", "merged", "*"))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond)
		if len(found) >= sessions {
			time.Sleep(time.Second)
			return
		}
	}
	t.Fatal("nothing is merged")
}

// objectsIn counts the objects of a store.
func objectsIn(t *testing.T, dir string) (n int) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(dir, "objects"), func(_ string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(d.Name(), "-") {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestCleanRefuses(t *testing.T) {
	nothing := filepath.Join(t.TempDir(), "nothing")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no store":        {[]string{"--store-dir", nothing}, exitFailed, "no store in the folder " + nothing},
		"an argument":     {[]string{"orders"}, exitUsage, "nothing to do with"},
		"a grace below 0": {[]string{"--grace", "-1s"}, exitUsage, "--grace must not be below"},
	} {
		r := runWith(t.Context(), nil, append([]string{"clean"}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.err, c.want) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}
