package reason

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
)

// documents reads docs/errors.md. The module is also published alone; in the
// repository, which go.work tells, the file must be there.
func documents(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("../../go.work"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("the module stands alone: docs/errors.md is in the repository")
	}
	b, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// cells are those of a table's row, without their quotes.
func cells(line string) []string {
	all := strings.Split(strings.Trim(line, "|"), "|")
	for i := range all {
		all[i] = strings.ReplaceAll(strings.TrimSpace(all[i]), "`", "")
	}
	return all
}

var (
	recoveries = map[Recovery]string{Fail: "fails", Retry: "retries", Resolve: "resolves", Resend: "resends", Renew: "renews"}
	outcomes   = map[Outcome]string{Unknown: "unknown", NotDone: "no"}
)

// statusName is a code as gRPC's own documents spell it.
func statusName(t *testing.T, name string) codes.Code {
	t.Helper()
	var c codes.Code
	if err := c.UnmarshalJSON([]byte(`"` + name + `"`)); err != nil {
		t.Fatal(err)
	}
	return c
}

// What people read about an error is what both sides do.
func TestDocuments(t *testing.T) {
	seen := map[Reason]bool{}
	for line := range strings.Lines(documents(t)) {
		c := cells(strings.TrimSpace(line))
		r := Reason(c[0])
		row, ok := table[r]
		if !ok || len(c) != 5 {
			continue
		}
		if seen[r] {
			t.Errorf("%s is there twice", r)
		}
		seen[r] = true
		if statusName(t, c[1]) != row.code || c[2] == "" || c[3] != recoveries[row.recovery] || c[4] != outcomes[row.outcome] {
			t.Errorf("docs/errors.md says of %s: %q; the table has %+v", r, c[1:], row)
		}
	}
	for _, r := range All() {
		if !seen[r] {
			t.Errorf("docs/errors.md says nothing of %s", r)
		}
	}
}

// So it is for statuses without a reason.
func TestDocumentedCodes(t *testing.T) {
	_, part, ok := strings.Cut(documents(t), "## Statuses without a reason")
	if !ok {
		t.Fatal("docs/errors.md has no section for statuses without a reason")
	}
	told := map[codes.Code][]string{}
	var others []string
	for line := range strings.Lines(part) {
		c := cells(strings.TrimSpace(line))
		switch {
		case len(c) != 3 || c[0] == "status" || strings.HasPrefix(c[0], "-"):
		case c[0] == "all others":
			others = c[1:]
		default:
			for name := range strings.SplitSeq(c[0], ", ") {
				told[statusName(t, name)] = c[1:]
			}
		}
	}
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		e := &Error{Code: code}
		got, ok := told[code]
		if !ok {
			got = others
		}
		if want := []string{recoveries[e.Recovery()], outcomes[e.Outcome()]}; !slices.Equal(got, want) {
			t.Errorf("docs/errors.md says of %v: %q, want %q", code, got, want)
		}
	}
}
