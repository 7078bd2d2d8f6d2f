package process

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// StartStore starts a store server on a new folder and returns the flags of the
// agents that share it. The end of the test ends it.
func StartStore(t *testing.T) []string {
	t.Helper()
	programs, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return StartStoreOf(t, programs.agent)
}

// StartStoreOf is StartStore with another program.
func StartStoreOf(t *testing.T, program string) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready")
	args := []string{"store", "--dir", filepath.Join(t.TempDir(), "store"), "--listen", "127.0.0.1:0", "--ready-file", file}
	p, err := start(program, args, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	for deadline := time.Now().Add(readyTimeout); ; time.Sleep(pollInterval) {
		var ready struct{ Addresses map[string]string }
		if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &ready) == nil {
			return []string{"--store", "remote", "--store-address", ready.Addresses["store"]}
		}
		if !p.alive() || time.Now().After(deadline) {
			t.Fatalf("the store server is not ready\n%s", p.stderr)
		}
	}
}
