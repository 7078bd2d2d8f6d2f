package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

func newLogger(cfg LogConfig, w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: cfg.Level}
	if cfg.Format == LogJSON {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// logSettings tells every setting that a person would ask about: all that
// help shows, and what is hidden but set. None of them is a secret.
func logSettings(log *slog.Logger, flags *pflag.FlagSet) {
	attrs := []any{slog.String("version", Version()), slog.String("go", runtime.Version())}
	flags.VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && f.Name != "version" && f.Name != "help" || f.Changed {
			attrs = append(attrs, slog.String(strings.ReplaceAll(f.Name, "-", "_"), f.Value.String()))
		}
	})
	log.Info("starting", attrs...)
}

// beside is what an agent takes beside its buffers, its cache and compaction:
// gRPC's windows, indexes, what is remembered of producers, stacks.
const beside = 128 << 20

// limitMemory has garbage collected before the process takes much more than
// its settings say. By itself, Go lets the heap grow to twice what is in use,
// and what is in use are the buffers. GOMEMLIMIT goes before. A store in memory
// counts too, and where that has no bound, nothing has: a limit below what is
// in use would have the collector run all the time.
func limitMemory(cfg Config, environ []string) {
	set := slices.ContainsFunc(environ, func(entry string) bool {
		return strings.HasPrefix(entry, "GOMEMLIMIT=") && entry != "GOMEMLIMIT="
	})
	unbounded := cfg.Store.Kind == StoreMemory && cfg.Store.MemoryKeepBytes == 0
	if !set && !unbounded {
		held := cfg.Buffers.Bytes + cfg.Buffers.CacheBytes + cfg.Compaction.MemoryBytes
		debug.SetMemoryLimit(held + cfg.Store.MemoryKeepBytes + beside)
	}
}

// readyFile tells other processes that the agent serves, and where. It is
// there only while it is true.
type readyFile string

// newReadyFile removes what an agent left that was killed.
func newReadyFile(name string) (readyFile, error) {
	if name == "" {
		return "", nil
	}
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("remove the old --ready-file: %w", err)
	}
	return readyFile(name), nil
}

// write makes the file appear with all its content at once.
func (r readyFile) write(listeners []Listener, addr func(string) string) error {
	if r == "" {
		return nil
	}
	content := struct {
		PID       int               `json:"pid"`
		Addresses map[string]string `json:"addresses"`
	}{os.Getpid(), map[string]string{}}
	for _, l := range listeners {
		content.Addresses[l.Name] = addr(l.Name)
	}
	b, err := json.Marshal(content)
	if err == nil {
		err = r.replace(append(b, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write --ready-file: %w", err)
	}
	return nil
}

func (r readyFile) replace(b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(string(r)), ".ready-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), string(r))
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return err
}

func (r readyFile) remove() {
	if r != "" {
		_ = os.Remove(string(r)) // it may never have been written
	}
}
