package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// randomLines has every byte but the line feed in it, lines of many lengths,
// and empty ones.
func randomLines(count int) string {
	rng := rand.NewChaCha8([32]byte{1})
	var b bytes.Buffer
	line := make([]byte, 300)
	for range count {
		_, _ = rng.Read(line)
		n := int(rng.Uint64() % uint64(len(line)))
		b.Write(bytes.ReplaceAll(line[:n], []byte("\n"), []byte("\r")))
		b.WriteByte('\n')
	}
	return b.String()
}

func TestFileComesBackToTheByte(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "file")
	input := randomLines(20_000)
	if out := s.run(input, "produce", "file"); !strings.HasPrefix(out, "produced 20,000 records, ") {
		t.Errorf("produce said %q", out)
	}
	same(t, "consume", s.run("", "consume", "file"), input)
}

// The lines of many partitions come back in any order, but each once, and
// those of a key in the order in which they were sent.
func TestManyPartitionsLoseNothing(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "many", "--partitions", "20")
	var input strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&input, "key%d\t%06d\n", i%37, i)
	}
	s.run(input.String(), "produce", "many", "--key-separator", "\t", "--batch-records", "50")
	out := s.run("", "consume", "many", "--format", `%k\t%v\n`)
	last := map[string]string{}
	for line := range strings.Lines(out) {
		key, number, _ := strings.Cut(line, "\t")
		if number <= last[key] {
			t.Fatalf("%s: %q after %q", key, number, last[key])
		}
		last[key] = number
	}
	lines := slices.Sorted(strings.Lines(out))
	same(t, "sorted lines", strings.Join(lines, ""), strings.Join(slices.Sorted(strings.Lines(input.String())), ""))
}

// What consume writes as JSON, produce makes the same records of: nulls, empty
// and binary bytes, headers, timestamps and partitions.
func TestJSONCopiesATopic(t *testing.T) {
	s := startShell(t)
	for _, topic := range []string{"from", "to"} {
		s.run("", "topic", "create", topic, "--partitions", "3")
	}
	input := `{"partition":2,"timestamp":1,"key":"k","value":"v"}
{"partition":0,"timestamp":1700000000123,"key":null,"value":null}
{"partition":0,"timestamp":3,"key":"","value":""}
{"partition":1,"timestamp":4,"key_base64":"/wA=","value_base64":"gP8K"}
{"partition":1,"timestamp":5,"key":"k","value":"v","headers":{"a":"1","b":null,"c":""}}
{"partition":1,"timestamp":6,"key":"k","value":"v","headers":[{"key":"a","value":"1"},{"key":"a","value_base64":"/w=="}]}
`
	s.run(input, "produce", "from", "--format", "json", "--keep-partitions")
	first := s.run("", "consume", "from", "--format", "json")
	s.run(first, "produce", "to", "--format", "json", "--keep-partitions")
	second := s.run("", "consume", "to", "--output", "json")
	sorted := func(text string) string { return strings.Join(slices.Sorted(strings.Lines(text)), "") }
	same(t, "the copy", sorted(second), sorted(first))
	for line := range strings.Lines(input) {
		want := withoutPlace(t, line)
		if !slices.ContainsFunc(strings.Split(strings.TrimSpace(first), "\n"), func(got string) bool { return withoutPlace(t, got) == want }) {
			t.Errorf("%s is not in the log:\n%s", want, first)
		}
	}
}

// withoutPlace is a JSON line without its offset, with its fields sorted.
func withoutPlace(t *testing.T, line string) string {
	t.Helper()
	var fields map[string]any
	if err := json.Unmarshal([]byte(line), &fields); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	delete(fields, "offset")
	b, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWholeInputIsOneRecord(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "whole")
	value := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(value)
	s.run(string(value), "produce", "whole", "--whole", "--header", "type=binary")
	same(t, "1 MiB", s.run("", "consume", "whole", "--format", "%v"), string(value))
	if got := s.run("", "consume", "whole", "--format", `%o %h\n`); got != "0 type=binary\n" {
		t.Errorf("got %q", got)
	}
}

func TestNullMarker(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "null")
	s.run("k:NULL\nNULL:v\n:\n", "produce", "null", "--key-separator", ":", "--null", "NULL")
	if got := s.run("", "consume", "null", "--format", `%k=%v\n`, "--null", "-"); got != "k=-\n-=v\n=\n" {
		t.Errorf("got %q", got)
	}
}

func TestPositions(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "ten")
	s.run("0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n", "produce", "ten")
	tests := []struct {
		args []string
		want string
	}{
		{nil, "0123456789"},
		{[]string{"--from", "earliest"}, "0123456789"},
		{[]string{"--from", "latest"}, ""},
		{[]string{"--from", "7"}, "789"},
		{[]string{"--from", "10"}, ""},
		{[]string{"--from", "99"}, ""},
		{[]string{"--from", "-3"}, "789"},
		{[]string{"--from=-3", "--count", "2"}, "78"},
		{[]string{"--from", "-99"}, "0123456789"},
		{[]string{"--count", "4", "--partition", "0"}, "0123"},
	}
	for _, tt := range tests {
		got := s.run("", append([]string{"consume", "ten", "--format", "%v"}, tt.args...)...)
		if got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.args, got, tt.want)
		}
	}
}

// Following shows what is committed later, begins at an offset that is not
// there yet, and ends with --count or with an interruption: then it has exit
// code 0 and has printed everything.
func TestFollow(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "follow", "--partitions", "2")
	s.run("old\n", "produce", "follow", "--partition", "1")
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan int)
	go func() {
		var messages bytes.Buffer
		args := []string{"consume", "follow", "--follow", "--from", "1", "--format", `%p/%o %v\n`, "--server", s.server}
		done <- Run(ctx, args, Streams{In: strings.NewReader(""), Out: in, Err: &messages})
	}()
	s.run("a\nb\n", "produce", "follow", "--partition", "0")
	s.run("c\n", "produce", "follow", "--partition", "1")
	got := map[string]bool{readLine(t, out): true, readLine(t, out): true}
	if !got["0/1 b"] || !got["1/1 c"] {
		t.Errorf("got %v", got)
	}
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d after an interruption", code)
	}
	if got := s.run("", "consume", "follow", "--follow", "--count", "4", "--format", "x"); got != "xxxx" {
		t.Errorf("got %q", got)
	}
}

func readLine(t *testing.T, r io.Reader) string {
	t.Helper()
	var line []byte
	for b := make([]byte, 1); ; line = append(line, b[0]) {
		if _, err := io.ReadFull(r, b); err != nil {
			t.Fatal(err)
		}
		if b[0] == '\n' {
			return string(line)
		}
	}
}

// An interruption must not lose what was read already, even while the command
// waits for input that never comes.
func TestInterruptedProduceDelivers(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "typed")
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	done := make(chan result)
	go func() { done <- runWith(ctx, out, "produce", "typed", "--server", s.server) }()
	if _, err := io.WriteString(in, "one\ntwo\nhalf"); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for s.run("", "consume", "typed") != "one\ntwo\n" && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	cancel()
	r := <-done
	if r.code != exitFailed || r.err != "Interrupted.\n" || !strings.HasPrefix(r.out, "produced 2 records, ") {
		t.Errorf("got %+v", r)
	}
}

// Some records fail: the others are in the log, the exit code is 1, and the
// message counts them.
func TestFailedRecordsAreCounted(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "one")
	input := `{"value":"a","partition":0}` + "\n" + `{"value":"b","partition":9}` + "\n" + `{"value":"c","partition":9}` + "\n"
	r := s.try(input, "produce", "one", "--format", "json", "--keep-partitions")
	if r.code != exitFailed || !strings.Contains(r.err, "2 of 3 records failed (none of them is in the log); the first: ") {
		t.Errorf("exit code %d, %s", r.code, r.err)
	}
	if got := s.run("", "consume", "one"); got != "a\n" {
		t.Errorf("log holds %q", got)
	}
}

func TestTooLongLine(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "long")
	fits := strings.Repeat("x", maxRecord)
	s.run(fits+"\n", "produce", "long")
	r := s.try("short\n"+fits+"x\n", "produce", "long")
	if r.code != exitFailed || !strings.Contains(r.err, "line 2 is longer than a record may be") {
		t.Errorf("exit code %d, %s", r.code, r.err)
	}
	if got := s.run("", "consume", "long", "--format", `%o\n`); got != "0\n1\n" {
		t.Errorf("log holds offsets %q", got)
	}
}

func TestProduceJSONResult(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "result")
	var got produced
	if err := json.Unmarshal([]byte(s.run("abc\nde\n", "produce", "result", "--output", "json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Records != 2 || got.Failed != 0 || got.Bytes != 5 || got.Seconds <= 0 || got.RecordsPerSecond <= 0 {
		t.Errorf("got %+v", got)
	}
}
