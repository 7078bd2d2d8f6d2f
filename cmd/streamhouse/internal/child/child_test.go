package child

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
)

// The test binary stands in for the program: with this variable set it does
// what the value says.
const role = "STREAMHOUSE_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(role) == "" {
		m.Run()
		return
	}
	code := play(os.Getenv(role), os.Args[len(os.Args)-1])
	os.Exit(code) //nolint:forbidigo // this process plays a program, and has an exit code to give
}

func play(role, file string) int {
	switch role {
	case "fails":
		fmt.Fprintln(os.Stderr, strings.Repeat("x", 2*tailSize)+"\nno store here")
		return 3
	case "quits":
		return 0
	}
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	if err := os.WriteFile(file+".new", []byte("127.0.0.1:4711\n"), 0o600); err != nil {
		return 4
	}
	if err := os.Rename(file+".new", file); err != nil {
		return 4
	}
	<-terminated
	return 0
}

func TestStartAndStop(t *testing.T) {
	t.Setenv(role, "serves")
	p, ready, err := Start(t.Context(), "serve")
	if err != nil {
		t.Fatal(err)
	}
	if ready != "127.0.0.1:4711" {
		t.Errorf("ready says %q", ready)
	}
	for range 2 {
		if err := p.Stop(); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("ready file's folder is still there: %v", err)
	}
}

// A child that cannot start must be told with its own words, at once and not
// after the timeout.
func TestStartTellsWhy(t *testing.T) {
	t.Setenv(role, "fails")
	_, _, err := Start(t.Context(), "serve")
	if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.HasSuffix(err.Error(), "no store here") {
		t.Errorf("error %v", err)
	}
	if len(err.Error()) > tailSize+200 {
		t.Errorf("error of %d bytes: only the end of what the child said matters", len(err.Error()))
	}
	t.Setenv(role, "quits")
	if _, _, err := Start(t.Context(), "serve"); err == nil || !strings.Contains(err.Error(), "ended at once") {
		t.Errorf("error %v", err)
	}
}

func TestContextEndsTheChild(t *testing.T) {
	t.Setenv(role, "serves")
	ctx, cancel := context.WithCancel(t.Context())
	p, _, err := Start(ctx, "serve")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	<-p.Ended()
	_ = p.Stop() // says that the context ended it
}
