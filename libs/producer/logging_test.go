package producer_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/libs/producer"
	"github.com/streamhouse/streamhouse/libs/producer/producertest"
	"github.com/streamhouse/streamhouse/proto/reason"
)

// logbook keeps what is logged.
type logbook struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.out.Write(p)
}

// lines returns those with that message, as they were parsed.
func (l *logbook) lines(t *testing.T, msg string) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var found []map[string]any
	for line := range strings.Lines(l.out.String()) {
		var parsed map[string]any
		if err := json.Unmarshal([]byte(line), &parsed); err != nil {
			t.Fatal(err)
		}
		if parsed["msg"] == msg {
			found = append(found, parsed)
		}
	}
	return found
}

// logged runs a story with a logbook.
func logged(t *testing.T, opts []producer.Option, story func(w *world, l *logbook)) {
	t.Helper()
	l := &logbook{}
	log := slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
	inWorld(t, append(opts, producer.WithLogger(log)), func(w *world) { story(w, l) })
}

func TestNothingIsLoggedWhileAllIsWell(t *testing.T) {
	logged(t, options(producer.WithLinger(0)), func(w *world, l *logbook) {
		w.send(0, 999)
		w.flush()
		if l.out.Len() > 0 {
			t.Errorf("logged: %s", l.out.String())
		}
	})
}

func TestAnOutageIsAHandfulOfLines(t *testing.T) {
	logged(t, options(producer.WithLinger(0)), func(w *world, l *logbook) {
		w.send(0, 0)
		w.flush()
		w.cluster.Kill("a")
		for n := 1; n <= 1000; n++ {
			w.send(n, n)
			time.Sleep(30 * time.Millisecond)
		}
		w.cluster.Start("a")
		w.flush()
		lost := l.lines(t, "stream to agent lost")
		if len(lost) < 3 || len(lost) > 4 { // 30 s, one at once and then one every 10 s
			t.Fatalf("%d lines, want 3 or 4: %v", len(lost), lost)
		}
		for _, key := range []string{"agent", "reason", "error", "tries", "skipped"} {
			if lost[0][key] == nil {
				t.Errorf("no %s in %v", key, lost[0])
			}
		}
		if lost[0]["agent"] != producertest.Address("a") || lost[0]["reason"] != "UNAVAILABLE" || lost[1]["skipped"].(float64) < 5 {
			t.Errorf("logged %v", lost)
		}
		reached := l.lines(t, "agent reached again")
		if len(reached) != 1 || reached[0]["agent"] != producertest.Address("a") || reached[0]["tries"].(float64) < 30 || reached[0]["level"] != "INFO" {
			t.Errorf("logged %v", reached)
		}
		if described := l.lines(t, "topic could not be described"); len(described) > 4 {
			t.Errorf("%d lines: %v", len(described), described)
		}
		if n := strings.Count(l.out.String(), "\n"); n > 10 {
			t.Errorf("%d lines in all", n)
		}
	})
}

func TestFailedBatchesAreLoggedByTopicNowAndThen(t *testing.T) {
	logged(t, options(producer.WithLinger(0), producer.WithBatchRecords(1)), func(w *world, l *logbook) {
		w.cluster.CreateTopic("others", "a")
		w.script(func(*producertest.Attempt) producertest.Reply {
			return producertest.Reply{Err: reason.New(reason.TooLarge, "no")}
		})
		for n := range 100 {
			w.send(n, n)
			time.Sleep(150 * time.Millisecond)
		}
		w.producer.SendAsync(w.Context(), producer.Record{Topic: "others"}, nil)
		w.flushFailing(reason.TooLarge)
		failed := l.lines(t, "batch failed")
		if len(failed) != 3 {
			t.Fatalf("%d lines, want 2 for the one topic in 15 s and 1 for the other: %v", len(failed), failed)
		}
		if f := failed[0]; f["topic"] != topic || f["partition"] != 0.0 || f["records"] != 1.0 || f["outcome"] != "not done" ||
			f["reason"] != "TOO_LARGE" || f["error"] == nil || f["skipped"] != 0.0 {
			t.Errorf("logged %v", f)
		}
		if n := failed[1]["skipped"].(float64); n < 60 || n > 70 {
			t.Errorf("%v lines skipped, want what failed in 10 s", n)
		}
		if failed[2]["topic"] != "others" {
			t.Errorf("logged %v", failed[2])
		}
	})
}

// Who gave a wrong address sees it at once, not after the delivery timeout.
func TestALookupThatFailsIsLogged(t *testing.T) {
	logged(t, options(producer.WithDeliveryTimeout(25*time.Second)), func(w *world, l *logbook) {
		w.cluster.Kill("a")
		began := time.Now()
		w.send(0, 0)
		described := l.lines(t, "topic could not be described")
		if time.Since(began) != 25*time.Second || len(described) != 3 || described[0]["topic"] != topic || described[0]["reason"] != "UNAVAILABLE" {
			t.Errorf("after %v logged %v", time.Since(began), described)
		}
	})
}
