package human

import (
	"testing"
	"time"
)

func TestNumbers(t *testing.T) {
	tests := []struct{ got, want string }{
		{Count(0), "0"},
		{Count(999), "999"},
		{Count(1000), "1,000"},
		{Count(-1000), "-1,000"},
		{Count(-100), "-100"},
		{Count(1234567), "1,234,567"},
		{Count(uint64(1<<64 - 1)), "18,446,744,073,709,551,615"},
		{Rate(1_000_000, 2*time.Second), "500,000"},
		{Rate(10, 0), "0"},
		{Bytes(0), "0 B"},
		{Bytes(1023), "1023 B"},
		{Bytes(1024), "1.0 KiB"},
		{Bytes(100_000_000), "95.4 MiB"},
		{Bytes(int64(3) << 40), "3.0 TiB"},
		{Latency(12_340 * time.Microsecond), "12.3 ms"},
		{Latency(45 * time.Microsecond), "0.045 ms"},
		{Seconds(1234 * time.Millisecond), "1.23 s"},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("got %q, want %q", tt.got, tt.want)
		}
	}
}
