// Package progress shows how far a long command has come: as a bar on a
// terminal, as a line now and then elsewhere.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/streamhouse/streamhouse/cmd/streamhouse/internal/human"
)

const (
	barInterval = 100 * time.Millisecond
	// In a log file a line every few seconds shows that something moves.
	lineInterval = 5 * time.Second
)

// Watch is WatchUnits for records.
func Watch(w io.Writer, label string, total int64, done func() int64) (stop func()) {
	return WatchUnits(w, label, "records", total, done)
}

// WatchUnits shows progress on w until the returned function is called, which ends
// it and waits. Done tells how much of total is done; it is polled from
// another goroutine, so that the work itself need not report. A total of 0
// stands for one that is not known.
func WatchUnits(w io.Writer, label, units string, total int64, done func() int64) (stop func()) {
	show, interval, end := lines(w, label, total), lineInterval, func() {}
	if IsTerminal(w) {
		show, end = bar(w, label, units, total)
		interval = barInterval
	}
	stopped := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				show(done())
			case <-stopped:
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(stopped)
		wg.Wait()
		end()
	})
}

// IsTerminal reports whether w is a terminal that a person looks at.
func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func lines(w io.Writer, label string, total int64) func(int64) {
	return func(n int64) {
		if total > 0 {
			fmt.Fprintf(w, "%s: %s of %s\n", label, human.Count(n), human.Count(total))
			return
		}
		fmt.Fprintf(w, "%s: %s\n", label, human.Count(n))
	}
}

func bar(w io.Writer, label, units string, total int64) (show func(int64), end func()) {
	if total == 0 {
		total = -1 // a spinner
	}
	b := progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(w),
		progressbar.OptionSetDescription(label),
		progressbar.OptionSetWidth(40),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString(units),
		progressbar.OptionClearOnFinish(),
	)
	// A bar that cannot be drawn is no reason to end the work that it shows.
	show = func(n int64) { _ = b.Set64(n) }
	return show, func() { _ = b.Clear() }
}
