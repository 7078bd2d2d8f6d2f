package human

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// units of sizes, those of which another is the end behind it.
var units = []struct {
	name  string
	bytes int64
}{
	{"TiB", 1 << 40},
	{"GiB", 1 << 30},
	{"MiB", 1 << 20},
	{"KiB", 1 << 10},
	{"TB", 1e12},
	{"GB", 1e9},
	{"MB", 1e6},
	{"KB", 1e3},
	{"B", 1},
}

// ParseBytes reads a number of bytes, as 10GiB, 500MB or 1048576.
func ParseBytes(text string) (int64, error) {
	number, factor := text, int64(1)
	for _, unit := range units {
		if n := len(text) - len(unit.name); n > 0 && strings.EqualFold(text[n:], unit.name) {
			number, factor = strings.TrimSpace(text[:n]), unit.bytes
			break
		}
	}
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || int64(n) > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q is no size: give one as 10GiB, 500MB or 1048576", text)
	}
	return int64(n) * factor, nil
}

// Span writes d in hours, minutes and seconds, without those that are zero at
// its end: 168h, 1h30m.
func Span(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}
