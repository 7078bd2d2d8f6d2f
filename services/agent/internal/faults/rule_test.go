package faults_test

import (
	"strings"
	"testing"
	"time"

	"github.com/streamhouse/streamhouse/services/agent/internal/faults"
)

const allOps = faults.Put | faults.Get | faults.List | faults.Delete |
	faults.RowCreate | faults.RowGet | faults.RowSwap | faults.RowDelete | faults.RowQuery

func TestParseRule(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]faults.Rule{
		"op=put,first=3,every=7,kind=err-after,pause=200ms": {
			Op: faults.Put, First: 3, Every: 7, Kind: faults.ErrAfter, Pause: 200 * time.Millisecond,
		},
		"kind=err-before":                {Op: allOps, First: 1, Kind: faults.ErrBefore},
		"op=all, kind=late, pause=1m30s": {Op: allOps, First: 1, Kind: faults.Late, Pause: 90 * time.Second},
		"kind=pause,pause=1ms,op=row-create+row-swap+list": {
			Op: faults.RowCreate | faults.RowSwap | faults.List, First: 1, Kind: faults.Pause, Pause: time.Millisecond,
		},
	} {
		got, err := faults.ParseRule(text)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
		again, err := faults.ParseRule(got.String())
		if err != nil || again != got {
			t.Errorf("%q became %q, which is %+v, %v", text, got, again, err)
		}
	}
}

// A flag that is misspelt must not be a run without faults.
func TestParseRuleRefuses(t *testing.T) {
	t.Parallel()
	for text, says := range map[string]string{
		"":                              "name=value",
		"put":                           "name=value",
		"op=put":                        "no kind",
		"kind=explode":                  "err-before, err-after, pause, late",
		"op=puts,kind=late,pause=1s":    `no "puts"`,
		"op=put+,kind=err-after":        `no ""`,
		"kind=err-after,first=0":        "first=0",
		"kind=err-after,first=-1":       "first=-1",
		"kind=err-after,every=x":        "every=x",
		"kind=err-after,pause=200":      "no duration",
		"kind=err-after,pause=-1s":      "negative",
		"kind=late":                     "without a pause",
		"kind=pause,pause=0s":           "without a pause",
		"kind=err-after,kind=err-after": "twice",
		"kind=err-after,times=3":        `"times" is not`,
	} {
		_, err := faults.ParseRule(text)
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v, want a refusal that says %q", text, err, says)
		}
	}
}

func FuzzParseRule(f *testing.F) {
	f.Add("op=put,first=3,every=7,kind=err-after,pause=200ms")
	f.Add("op=all,kind=late,pause=1s")
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := faults.ParseRule(text)
		if err != nil {
			return
		}
		again, err := faults.ParseRule(rule.String())
		if err != nil || again != rule {
			t.Errorf("%q became %q, which is %+v, %v", text, rule, again, err)
		}
	})
}

func TestParseLatency(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]faults.Latency{
		"60ms/200ms": {P50: 60 * time.Millisecond, P99: 200 * time.Millisecond},
		"5ms":        {P50: 5 * time.Millisecond},
		"0":          {},
		"0/0":        {},
	} {
		got, err := faults.ParseLatency(text)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
		again, err := faults.ParseLatency(got.String())
		if err != nil || again != got {
			t.Errorf("%q became %q, which is %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{"", "60", "60ms/", "/60ms", "200ms/60ms", "0/60ms", "-1ms", "1ms/2ms/3ms", "fast"} {
		if got, err := faults.ParseLatency(text); err == nil || !strings.Contains(err.Error(), "parse the latency") {
			t.Errorf("%q: got %+v, %v, want a refusal", text, got, err)
		}
	}
}
