package human

import (
	"testing"
	"time"
)

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "123": 123, "7B": 7, "1KiB": 1 << 10, "10GiB": 10 << 30, "10 gib": 10 << 30, "2TB": 2e12, "500MB": 5e8,
		"8388607TiB": 8388607 << 40,
	} {
		if got, err := ParseBytes(text); err != nil || got != want {
			t.Errorf("%q: %d, %v; want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "B", "GiB", "-1", "-1GiB", "1.5GiB", "ten", "8388608TiB", "9223372036854775808", "1 2"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("%q is %d", text, got)
		}
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		168 * time.Hour: "168h", 90 * time.Minute: "1h30m", time.Minute: "1m", time.Hour + time.Second: "1h0m1s",
		61500 * time.Millisecond: "1m1.5s", 20 * time.Second: "20s", 0: "0s",
	} {
		if got := Span(d); got != want {
			t.Errorf("%d: %q, want %q", d, got, want)
		}
	}
}
