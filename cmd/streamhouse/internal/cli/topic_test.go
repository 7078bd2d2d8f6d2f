package cli

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTopicLife(t *testing.T) {
	s := startShell(t)
	if r := s.try("", "topic", "list"); r.code != exitOK || r.out != "" || !strings.Contains(r.err, "no topic yet") {
		t.Errorf("empty list: %+v", r)
	}
	if out := s.run("", "topic", "create", "b", "--partitions", "2"); out != "created topic b with 2 partitions\n" {
		t.Errorf("create said %q", out)
	}
	s.run("", "topic", "create", "a")
	want := "TOPIC  PARTITIONS  RETENTION  ID\na               1  for ever    2\nb               2  for ever    1\n"
	same(t, "list", s.run("", "topic", "list"), want)
	s.run("x\ny\n", "produce", "b", "--partition", "1")
	out := s.run("", "topic", "describe", "b")
	if !strings.HasPrefix(out, "topic b, id 1, 2 partitions, 2 records, kept for ever\n\nPARTITION  START  END  EPOCH  ADDRESS") {
		t.Errorf("describe said\n%s", out)
	}
	if out := s.run("", "topic", "delete", "b", "--yes"); out != "deleted topic b\n" {
		t.Errorf("delete said %q", out)
	}
	if r := s.try("", "topic", "describe", "b"); r.code != exitFailed {
		t.Errorf("describe after delete: %+v", r)
	}
}

func TestTopicJSON(t *testing.T) {
	s := startShell(t)
	var made, described topicJSON
	decode(t, s.run("", "topic", "create", "j", "--partitions", "3", "--output", "json"), &made)
	if want := (topicJSON{Name: "j", ID: 1, PartitionCount: 3}); !reflect.DeepEqual(made, want) {
		t.Errorf("create: %+v", made)
	}
	s.run("x\n", "produce", "j", "--partition", "2")
	decode(t, s.run("", "topic", "describe", "j", "--output", "json"), &described)
	if len(described.Partitions) != 3 {
		t.Fatalf("describe: %+v", described)
	}
	last := described.Partitions[2]
	if last.Partition != 2 || last.EndOffset == nil || *last.EndOffset != 1 || last.Owner == "" || last.Address != s.server || last.Epoch == 0 {
		t.Errorf("partition 2: %+v", last)
	}
	var list struct{ Topics []topicJSON }
	decode(t, s.run("", "topic", "list", "--output", "json"), &list)
	if len(list.Topics) != 1 || !reflect.DeepEqual(list.Topics[0], made) {
		t.Errorf("list: %+v", list)
	}
	var deleted struct{ Deleted topicJSON }
	decode(t, s.run("", "topic", "delete", "j", "--yes", "--output", "json"), &deleted)
	if !reflect.DeepEqual(deleted.Deleted, made) {
		t.Errorf("delete: %+v", deleted)
	}
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
}

// A script that forgot --yes must not delete anything.
func TestDeleteAsks(t *testing.T) {
	s := startShell(t)
	s.run("", "topic", "create", "keep")
	if r := s.try("keep\n", "topic", "delete", "keep"); r.code != exitUsage || !strings.Contains(r.err, "--yes") {
		t.Errorf("delete without --yes: %+v", r)
	}
	s.run("", "topic", "describe", "keep")
}

func TestTablesFit(t *testing.T) {
	s := startShell(t)
	name := strings.Repeat("n", 249)
	s.run("", "topic", "create", name, "--partitions", "120")
	for _, args := range [][]string{{"topic", "list"}, {"topic", "describe", name}} {
		for line := range strings.Lines(s.run("", args...)) {
			if n := utf8.RuneCountInString(strings.TrimSpace(line)); n > 100 && !strings.HasPrefix(line, "topic ") {
				t.Errorf("%v: a line of %d characters: %s", args[:2], n, line)
			}
		}
	}
}
