package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// fakeAgent stands for an Agent: it serves after a second and drains for d.
type fakeAgent struct {
	drain   time.Duration
	ready   chan struct{}
	broken  error // ends Run instead of ctx, after ten seconds
	drained error
	cause   error
}

func (a *fakeAgent) Ready() <-chan struct{} { return a.ready }

func (a *fakeAgent) Addr(listener string) string { return listener + ".example.com:4321" }

func (a *fakeAgent) Run(ctx context.Context) error {
	time.Sleep(time.Second)
	close(a.ready)
	if a.broken != nil {
		time.Sleep(9 * time.Second)
		return a.broken
	}
	<-ctx.Done()
	a.cause = context.Cause(ctx)
	time.Sleep(a.drain)
	return a.drained
}

// outside is a process with everything in reach of the test.
type outside struct {
	process
	agent          *fakeAgent
	stdout, stderr bytes.Buffer
	signals        chan os.Signal
	cfg            Config // as start got it
}

func newOutside(a *fakeAgent) *outside {
	o := &outside{agent: a, signals: make(chan os.Signal, 2)}
	a.ready = make(chan struct{})
	o.process = process{
		stdout: &o.stdout, stderr: &o.stderr, signals: o.signals, environ: []string{"GOMEMLIMIT=off"},
		start: func(cfg Config, _ *slog.Logger) (runner, error) {
			o.cfg = cfg
			return a, nil
		},
	}
	return o
}

// SIGTERM, as ECS sends it, and SIGINT begin a drain; the exit code is 0.
func TestSignalDrains(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		synctest.Test(t, func(t *testing.T) {
			o := newOutside(&fakeAgent{drain: 5 * time.Second})
			begun := time.Now()
			time.AfterFunc(time.Minute, func() { o.signals <- signal })
			if code := o.main(t.Context(), nil); code != 0 {
				t.Errorf("exit code %d:\n%s", code, &o.stderr)
			}
			if took := time.Since(begun); took != 65*time.Second {
				t.Errorf("took %s, want the drain to end", took)
			}
			if o.agent.cause == nil || !strings.Contains(o.agent.cause.Error(), signal.String()) {
				t.Errorf("the agent was told %v", o.agent.cause)
			}
		})
	}
}

// A second signal does not wait for a drain that hangs.
func TestSecondSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(&fakeAgent{drain: time.Hour})
		begun := time.Now()
		time.AfterFunc(2*time.Second, func() { o.signals <- syscall.SIGTERM })
		time.AfterFunc(3*time.Second, func() { o.signals <- syscall.SIGINT })
		if code := o.main(t.Context(), nil); code != 130 || time.Since(begun) != 3*time.Second {
			t.Errorf("exit code %d after %s", code, time.Since(begun))
		}
		o = newOutside(&fakeAgent{drain: time.Hour})
		o.signals <- syscall.SIGINT
		o.signals <- syscall.SIGTERM
		if code := o.main(t.Context(), nil); code != 143 {
			t.Errorf("exit code %d", code)
		}
		time.Sleep(2 * time.Hour) // until the agents left behind have ended
	})
}

// The end of the caller's context drains like a signal; the signal after it is
// a second one.
func TestContextDrains(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		if code := newOutside(&fakeAgent{drain: time.Second}).main(ctx, nil); code != 0 {
			t.Errorf("exit code %d", code)
		}
		o := newOutside(&fakeAgent{drain: time.Hour})
		time.AfterFunc(time.Second, func() { o.signals <- syscall.SIGTERM })
		if code := o.main(ctx, nil); code != 143 {
			t.Errorf("exit code %d", code)
		}
		time.Sleep(2 * time.Hour) // until the agent left behind has ended
	})
}

func TestErrors(t *testing.T) {
	tests := []struct {
		name string
		o    *outside
		code int
		want string
	}{
		{"the agent ends", newOutside(&fakeAgent{broken: errors.Join(errors.New("one"), errors.New("two"))}), 1, "streamhouse-agent: one; two\n"},
		{"the drain fails", newOutside(&fakeAgent{drained: errors.New("too slow")}), 1, "streamhouse-agent: too slow\n"},
		{"the start fails", &outside{process: process{start: func(Config, *slog.Logger) (runner, error) {
			return nil, errors.New("no store")
		}}}, 1, "streamhouse-agent: start: no store\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			test.o.process.stderr, test.o.process.environ = &test.o.stderr, []string{"GOMEMLIMIT=off"}
			if test.o.agent != nil {
				synctest.Test(t, func(t *testing.T) {
					test.o.agent.ready = make(chan struct{})
					test.o.process.signals = make(chan os.Signal)
					checkExit(t, test.o, test.o.main(ctx, []string{"--log-level=error"}), test.code, test.want)
				})
				return
			}
			checkExit(t, test.o, test.o.main(ctx, []string{"--log-level=error"}), test.code, test.want)
		})
	}
}

func checkExit(t *testing.T, o *outside, code, wantCode int, want string) {
	t.Helper()
	if code != wantCode || o.stderr.String() != want {
		t.Errorf("exit code %d, stderr %q; want %d, %q", code, &o.stderr, wantCode, want)
	}
}

// What is wrong with the settings is told before anything is started.
func TestUsage(t *testing.T) {
	tests := []struct {
		name    string
		args    []string
		environ string
		want    string
	}{
		{"unknown flag", []string{"--flush-byte=1"}, "", "unknown flag: --flush-byte: did you mean --flush-bytes?"},
		{"bad value", []string{"--flush-bytes=x"}, "", "is no size"},
		{"argument", []string{"run"}, "", `"run" is not a flag`},
		{"unknown variable", nil, "STREAMHOUSE_ZOME=a", "did you mean STREAMHOUSE_ZONE?"},
		{"contradiction", []string{"--insecure", "--tls-cert-file=a", "--tls-key-file=b"}, "", "leave one of them out"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := newOutside(&fakeAgent{})
			o.environ = []string{test.environ}
			if code := o.main(t.Context(), test.args); code != 2 || o.agent.cause != nil || !strings.Contains(o.stderr.String(), test.want) {
				t.Errorf("exit code %d, stderr:\n%s\nwant %q in it", code, &o.stderr, test.want)
			}
		})
	}
}

func TestHelpAndVersion(t *testing.T) {
	o := newOutside(&fakeAgent{})
	if code := o.main(t.Context(), []string{"--help"}); code != 0 || o.stderr.Len() > 0 {
		t.Errorf("exit code %d, stderr:\n%s", code, &o.stderr)
	}
	help := o.stdout.String()
	if !strings.Contains(help, "--flush-bytes size") || strings.Contains(help, "store-fault") {
		t.Errorf("help lacks a setting, or shows one for tests:\n%s", help)
	}
	for line := range strings.Lines(help) {
		if len(line) > 101 {
			t.Errorf("wider than 100 columns: %s", line)
		}
	}
	o = newOutside(&fakeAgent{})
	if code := o.main(t.Context(), []string{"--version"}); code != 0 || o.stdout.String() == "" || strings.Count(o.stdout.String(), "\n") != 1 {
		t.Errorf("exit code %d, stdout %q", code, &o.stdout)
	}
}

// The file is there while the agent serves, and not before or after; what a
// killed agent left does not deceive anybody.
func TestReadyFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "ready.json")
	if err := os.WriteFile(name, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(&fakeAgent{})
		time.AfterFunc(time.Second/2, func() {
			if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("before it serves: %v", err)
			}
		})
		time.AfterFunc(2*time.Second, func() {
			checkReady(t, name)
			o.signals <- syscall.SIGTERM
		})
		args := []string{"--ready-file", name, "--listen=one=127.0.0.1:0,two=127.0.0.1:0"}
		if code := o.main(t.Context(), args); code != 0 {
			t.Errorf("exit code %d:\n%s", code, &o.stderr)
		}
	})
	if left, err := os.ReadDir(filepath.Dir(name)); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func checkReady(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
		return
	}
	var got struct {
		PID       int
		Addresses map[string]string
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Error(err)
	}
	if got.PID != os.Getpid() || len(got.Addresses) != 2 || got.Addresses["two"] != "two.example.com:4321" {
		t.Errorf("the file says %s", b)
	}
}

// An agent that nobody would find does not stay up.
func TestReadyFileCannotBeWritten(t *testing.T) {
	name := filepath.Join(t.TempDir(), "no", "ready.json")
	synctest.Test(t, func(t *testing.T) {
		o := newOutside(&fakeAgent{})
		if code := o.main(t.Context(), []string{"--ready-file", name}); code != 1 || !strings.Contains(o.stderr.String(), "write --ready-file: open ") {
			t.Errorf("exit code %d:\n%s", code, &o.stderr)
		}
	})
}

// Settings come from all sources, and are logged, but for secrets.
func TestSettingsAreLogged(t *testing.T) {
	for format, want := range map[string]string{"text": "flush_bytes=1MiB", "json": `"flush_bytes":"1MiB"`} {
		synctest.Test(t, func(t *testing.T) {
			o := newOutside(&fakeAgent{})
			o.environ = []string{
				"GOMEMLIMIT=off", "STREAMHOUSE_FLUSH_BYTES=1MiB", "STREAMHOUSE_LOG_FORMAT=" + format,
				"STREAMHOUSE_TLS_CERT_PEM=certificate", "STREAMHOUSE_TLS_KEY_PEM=secret",
			}
			o.signals <- syscall.SIGTERM
			if code := o.main(t.Context(), nil); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if log := o.stderr.String(); !strings.Contains(log, want) || strings.Contains(log, "secret") {
				t.Errorf("%s log:\n%s", format, log)
			}
			if o.cfg.Flush.Bytes != 1<<20 || o.cfg.TLS.KeyPEM != "secret" || o.cfg.Name == "" {
				t.Errorf("started with %+v", o.cfg)
			}
		})
	}
}

// The Go heap would grow to twice the buffers, and a limit without room for
// compaction would slow it down; but who sets GOMEMLIMIT decides.
// A limit that is lower than what a store in memory holds would leave the
// process to the garbage collector.
func TestMemoryLimit(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	tests := []struct {
		name       string
		store      StoreConfig
		compaction int64
		env        string
		want       int64
	}{
		{"files", StoreConfig{Kind: StoreFiles}, 0, "GOMEMLIMIT=", 576 << 20},
		{"memory", StoreConfig{Kind: StoreMemory}, 0, "", before},
		{"memory with a bound", StoreConfig{Kind: StoreMemory, MemoryKeepBytes: 64 << 20}, 0, "", 640 << 20},
		{"more for compaction", StoreConfig{Kind: StoreFiles}, 512 << 20, "", 960 << 20},
		{"GOMEMLIMIT", StoreConfig{Kind: StoreFiles}, 0, "GOMEMLIMIT=1GiB", before},
	}
	for _, test := range tests {
		debug.SetMemoryLimit(before)
		cfg := Config{Store: test.store, Compaction: CompactionConfig{MemoryBytes: test.compaction}}
		limitMemory(cfg.WithDefaults(), []string{"PATH=/bin", test.env})
		if got := debug.SetMemoryLimit(-1); got != test.want {
			t.Errorf("%s: the limit is %d, want %d", test.name, got, test.want)
		}
	}
}
