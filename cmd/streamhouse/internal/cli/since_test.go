package cli

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// consume begins each partition with its first record that is new enough, and
// prints all that follow it.
func TestConsumeFromTime(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "timed", "--partitions", "3")
	now := time.Now()
	var input strings.Builder
	for _, r := range []struct {
		partition int
		age       time.Duration
		value     string
	}{
		{0, 3 * time.Hour, "a"},
		{0, 2 * time.Hour, "b"},
		{0, 30 * time.Minute, "c"},
		{0, 2 * time.Hour, "d"},
		{0, time.Minute, "e"},
		{1, 5 * time.Hour, "f"},
	} {
		fmt.Fprintf(&input, `{"partition":%d,"timestamp":%d,"value":%q}`+"\n", r.partition, now.Add(-r.age).UnixMilli(), r.value)
	}
	s.run(input.String(), "produce", "timed", "--format", "json", "--keep-partitions", "--batch-records", "1")
	for _, tt := range []struct{ flag, value, want string }{
		{"--since", "1h", "cde"},
		{"--since", "150m", "bcde"},
		{"--since", "5m", "e"},
		{"--since", "1s", ""},
		{"--from-time", now.Add(-30 * time.Minute).Truncate(time.Millisecond).Format(time.RFC3339Nano), "cde"},
		{"--from-time", now.Add(-30*time.Minute + time.Millisecond).Format(time.RFC3339Nano), "e"},
		{"--from-time", now.Add(-4 * time.Hour).UTC().Format(time.RFC3339), "abcde"},
		{"--from-time", "2100-01-01T00:00:00+01:00", ""},
	} {
		if got := s.run("", "consume", "timed", tt.flag, tt.value, "--format", "%v"); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.flag, tt.value, got, tt.want)
		}
	}
	all := s.run("", "consume", "timed", "--since", "10h", "--format", "%v", "--partition", "1")
	if all != "f" {
		t.Errorf("partition 1: %q", all)
	}
	if got := s.run("", "consume", "timed", "--since", "1h", "--follow", "--count", "2", "--format", "%v", "--partition", "0"); got != "cd" {
		t.Errorf("follow: %q", got)
	}
}

// Settings are told as they were given, and change one by one.
func TestTopicSettings(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "kept", "--retention", "168h", "--retention-bytes", "10GiB")
	want := "TOPIC  PARTITIONS  RETENTION       ID\nkept            1  168h, 10.0 GiB   1\n"
	same(t, "list", s.run("", "topic", "list"), want)
	if out := s.run("", "topic", "update", "kept", "--retention", "0", "--partitions", "3"); out != "updated topic kept: 3 partitions, kept 10.0 GiB\n" {
		t.Errorf("update said %q", out)
	}
	if out := s.run("", "topic", "describe", "kept"); !strings.HasPrefix(out, "topic kept, id 1, 3 partitions, 0 records, kept 10.0 GiB\n") {
		t.Errorf("describe said\n%s", out)
	}
	var got topicJSON
	decode(t, s.run("", "topic", "update", "kept", "--retention", "90m", "--output", "json"), &got)
	if got.PartitionCount != 3 || got.RetentionMillis != 90*60*1000 || got.RetentionBytes != 10<<30 {
		t.Errorf("update: %+v", got)
	}
	decode(t, s.run("", "topic", "describe", "kept", "--output", "json"), &got)
	if len(got.Partitions) != 3 || got.RetentionMillis != 90*60*1000 {
		t.Errorf("describe: %+v", got)
	}
	for _, p := range got.Partitions {
		if p.Owner == "" {
			t.Errorf("partition %d has no owner", p.Partition)
		}
	}
	s.run("x\n", "produce", "kept", "--partition", "2")
	if out := s.run("", "consume", "kept", "--partition", "2"); out != "x\n" {
		t.Errorf("partition 2 holds %q", out)
	}
}

// A retention that would round to 0, which keeps for ever, does not.
func TestMillis(t *testing.T) {
	for text, want := range map[string]millis{"0": 0, "1ns": 1, "1ms": 1, "1000001ns": 2, "168h": 604_800_000} {
		var m millis
		if err := m.Set(text); err != nil || m != want {
			t.Errorf("%s: %d, %v", text, m, err)
		}
	}
	longest := millis(1<<63 - 1)
	if text := longest.String(); text != "9223372036854775807ms" {
		t.Errorf("the longest is %s", text)
	}
}
