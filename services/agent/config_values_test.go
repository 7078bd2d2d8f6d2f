package agent

import (
	"log/slog"
	"math"
	"testing"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "123": 123, "7B": 7, "64KB": 64_000, "64KiB": 64 << 10, "4MiB": 4 << 20, "4 MiB": 4 << 20, "4mib": 4 << 20,
		"3MB": 3e6, "1GB": 1e9, "1GiB": 1 << 30, "9223372036854775807": math.MaxInt64,
	} {
		if got, err := parseSize(text); err != nil || got != want {
			t.Errorf("%q is %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "MiB", "-1", "+1", "1.5MiB", "4M", "4 parsecs", "9223372036854775808", "9007199254740992KiB", "0x10"} {
		if got, err := parseSize(text); err == nil {
			t.Errorf("%q is %d, want an error", text, got)
		}
	}
}

// What help prints as a default can be given as a value.
func FuzzSize(f *testing.F) {
	for _, n := range []int64{0, 1, 1000, 1 << 10, 3 << 20, 5 << 30, math.MaxInt64} {
		f.Add(n)
	}
	f.Fuzz(func(t *testing.T, n int64) {
		if n < 0 {
			return
		}
		if got, err := parseSize(formatSize(n)); err != nil || got != n {
			t.Errorf("%d is printed as %q and read as %d, %v", n, formatSize(n), got, err)
		}
	})
}

func TestCeiling(t *testing.T) {
	for text, want := range map[string]float64{"10": 10, "0.5": 0.5, "0": NoCeiling} {
		var v ceilingValue
		if err := v.Set(text); err != nil || float64(v) != want {
			t.Errorf("%q is %v, %v; want %v", text, float64(v), err, want)
		}
		if v.String() != text {
			t.Errorf("%q is printed as %q", text, v.String())
		}
	}
	for _, text := range []string{"", "-1", "NaN", "Inf", "often"} {
		if err := new(ceilingValue).Set(text); err == nil {
			t.Errorf("%q is a ceiling", text)
		}
	}
}

func TestLevels(t *testing.T) {
	for text, want := range map[string]slog.Level{"debug": slog.LevelDebug, "INFO": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		var v levelValue
		if err := v.Set(text); err != nil || slog.Level(v) != want {
			t.Errorf("%q is %v, %v", text, v, err)
		}
	}
	if err := new(levelValue).Set("loud"); err == nil {
		t.Error("loud is a level")
	}
}

// Flags come in any order: --advertise must find its listener all the same.
func TestListenersInAnyOrder(t *testing.T) {
	listen, advertise := "--listen=127.0.0.1:1,external=127.0.0.1:2", "--advertise=external=host:2"
	for _, args := range [][]string{{listen, advertise}, {advertise, listen}} {
		c := mustLoad(t, args, nil, "")
		want := []Listener{{Name: "internal", Address: "127.0.0.1:1"}, {Name: "external", Address: "127.0.0.1:2", Advertise: "host:2"}}
		if len(c.Listeners) != 2 || c.Listeners[0] != want[0] || c.Listeners[1] != want[1] {
			t.Errorf("%v gave %+v", args, c.Listeners)
		}
	}
	if c := mustLoad(t, []string{"--advertise=host:1"}, nil, ""); len(c.Listeners) != 1 || c.Listeners[0].Advertise != "host:1" {
		t.Errorf("the default listener is %+v", c.Listeners)
	}
	for _, arg := range []string{"--listen=", "--listen==127.0.0.1:1", "--listen=internal=", "--advertise=a:1,"} {
		if _, err := load(t, []string{arg}, nil, ""); err == nil {
			t.Errorf("%s was accepted", arg)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"kitten", "sitting", 3}, {"flaw", "lawn", 2}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("from %q to %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}
