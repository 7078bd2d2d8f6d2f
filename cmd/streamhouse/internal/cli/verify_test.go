package cli

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/local"
	"github.com/streamhouse/streamhouse/services/agent"
)

func TestVerify(t *testing.T) {
	dir := t.TempDir()
	a, err := local.Start(t.Context(), agent.StoreConfig{Kind: agent.StoreFiles, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{t: t, server: a.Addr}
	s.run("", "topic", "create", "orders", "--partitions", "3")
	s.run("a\nb\nc\nd\n", "produce", "orders")

	if got := s.run("", "verify"); !strings.Contains(got, "agents: 1 topics, 3 partitions") || !strings.Contains(got, "4 records\nno fault\n") {
		t.Errorf("through the agent: %q", got)
	}
	store := []string{"verify", "--store-dir", dir}
	if r := runWith(t.Context(), nil, store...); r.code != exitFailed || !strings.Contains(r.err, "in use by") || !strings.Contains(r.err, "--server") {
		t.Errorf("a store in use: %+v", r)
	}
	if err := a.Stop(); err != nil {
		t.Fatal(err)
	}
	if r := runWith(t.Context(), nil, store...); r.code != exitOK || !strings.Contains(r.out, "4 records") || !strings.HasSuffix(r.out, "no fault\n") {
		t.Errorf("a clean store: %+v", r)
	}
	damage(t, dir)
	if r := runWith(t.Context(), nil, store...); r.code != exitFailed || !strings.HasPrefix(r.err, "Error: fault: session ") {
		t.Errorf("a damaged store: %+v", r)
	}
	r := runWith(t.Context(), nil, append(store, "orders", "--output", "json")...)
	var got verificationJSON
	decode(t, r.out, &got)
	if r.code != exitFailed || got.OK || got.Fault == nil || got.Fault.Seq == nil || *got.Fault.Seq != 0 || got.Store.Topics != 1 || got.Error != "" {
		t.Errorf("as JSON: %+v", r)
	}
}

// damage changes a byte of the first segment that holds the word.
func damage(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.Contains(d.Name(), "000000000000-") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		b[len(b)/2] ^= 1
		if err := os.Chmod(path, 0o600); err != nil {
			return err
		}
		return os.WriteFile(path, b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	nothing := filepath.Join(t.TempDir(), "nothing")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no store":       {[]string{"--store-dir", nothing}, exitFailed, "no store in the folder " + nothing},
		"a memory store": {[]string{"--store", "memory"}, exitFailed, "ends with its agent"},
		"two topics":     {[]string{"a", "b"}, exitUsage, "one topic is enough"},
		"a wrong kind":   {[]string{"--store", "tape"}, exitFailed, "--store is \"tape\""},
	} {
		r := runWith(t.Context(), nil, append([]string{"verify"}, c.args...)...)
		if r.code != c.code || !strings.Contains(r.err, c.want) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if _, err := os.Stat(nothing); err == nil {
		t.Error("verify made a store")
	}
}
