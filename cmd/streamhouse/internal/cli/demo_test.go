package cli

import (
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What README promises: it needs nothing, checks everything, says so in its
// last line, and leaves nothing behind.
func TestDemo(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	r := runWith(t.Context(), strings.NewReader(""), "demo", "--records", "20000", "--partitions", "3")
	if r.code != exitOK || !strings.HasSuffix(r.out, "\nverified 20000 records\n") {
		t.Fatalf("%+v", r)
	}
	for _, want := range []string{
		`produced +20,000 records of 100 bytes in [0-9.]+ s: [0-9,]+ records/s, [0-9.]+ \wiB/s`,
		`acknowledged +p50 [0-9.]+ ms, p99 [0-9.]+ ms`,
		`read back +in [0-9.]+ s: [0-9,]+ records/s`,
		`stored +1\.\d MiB in [1-9]\d* segments`,
		`on AWS +\$0\.\d+: S3 \$0\.\d+ for [1-9]\d* PUTs? and \d+ GETs?,`,
		`DynamoDB \$0\.\d+ for [1-9]\d* writes and \d+ reads?`,
		`us-east-1 list prices as of 2025`,
	} {
		if !regexp.MustCompile(want).MatchString(r.out) {
			t.Errorf("no %q in\n%s", want, r.out)
		}
	}
	for line := range strings.Lines(r.out) {
		if len(line) > 101 {
			t.Errorf("a line of %d characters: %s", len(line), line)
		}
	}
	checkEmpty(t, os.Getenv("TMPDIR"))
}

func TestDemoSizes(t *testing.T) {
	for _, args := range [][]string{
		{"--records", "1"},
		{"--records", "500", "--record-size", "16", "--partitions", "1"},
		{"--records", "20", "--record-size", "1000000", "--partitions", "50"},
	} {
		r := runWith(t.Context(), strings.NewReader(""), append([]string{"demo"}, args...)...)
		if want := "verified " + args[1] + " records\n"; r.code != exitOK || !strings.HasSuffix(r.out, want) {
			t.Errorf("%v: %+v", args, r)
		}
	}
}

func TestInterruptedDemoCleansUp(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := runWith(ctx, strings.NewReader(""), "demo"); r.code != exitFailed || strings.Contains(r.out, "verified") {
		t.Errorf("%+v", r)
	}
	checkEmpty(t, os.Getenv("TMPDIR"))
}

func checkEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, error %v", left, err)
	}
}
