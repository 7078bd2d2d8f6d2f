package cli

import (
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	tests := []struct {
		args []string
		want []string
	}{
		{[]string{"agent", "--store-d"}, []string{"--store-dir"}},
		{[]string{"agent", "--store", ""}, []string{"files", "aws", "memory", "remote"}},
		{[]string{"topic", ""}, []string{"create", "delete", "describe", "list", "update"}},
		{[]string{"produce", "--compression", ""}, []string{"none", "lz4", "zstd", "s2"}},
		{[]string{"consume", "t", "--from", ""}, []string{"earliest", "latest"}},
		{[]string{"bench", "--output", ""}, []string{"text", "json"}},
		{[]string{"raw"}, nil}, // a helper of bench, not for people
	}
	for _, tt := range tests {
		r := runWith(t.Context(), strings.NewReader(""), append([]string{"__complete"}, tt.args...)...)
		var got []string
		for line := range strings.Lines(r.out) {
			if word, _, _ := strings.Cut(strings.TrimSpace(line), "\t"); !strings.HasPrefix(word, ":") {
				got = append(got, word)
			}
		}
		if strings.Join(got, " ") != strings.Join(tt.want, " ") {
			t.Errorf("%v: got %v, want %v", tt.args, got, tt.want)
		}
	}
	for _, name := range []string{"bash", "zsh", "fish", "powershell"} {
		if r := runWith(t.Context(), strings.NewReader(""), "completion", name); r.code != exitOK || !strings.Contains(r.out, "streamhouse") {
			t.Errorf("%s: exit code %d, %d bytes", name, r.code, len(r.out))
		}
	}
}

func TestHelpFits(t *testing.T) {
	for _, command := range []string{
		"", "agent", "topic", "topic create", "topic list", "topic describe", "topic update", "topic delete",
		"produce", "consume", "verify", "clean", "demo", "bench", "version",
	} {
		r := runWith(t.Context(), strings.NewReader(""), append(strings.Fields(command), "--help")...)
		if r.code != exitOK || r.err != "" {
			t.Errorf("%s --help: exit code %d, %s", command, r.code, r.err)
		}
		for line := range strings.Lines(r.out) {
			if len(line) > 101 {
				t.Errorf("%s --help: a line of %d characters: %s", command, len(line), line)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	r := runWith(t.Context(), strings.NewReader(""), "version")
	if r.code != exitOK || !strings.HasPrefix(r.out, "streamhouse ") || !strings.Contains(r.out, "(go1.") {
		t.Errorf("%+v", r)
	}
	var got map[string]string
	decode(t, runWith(t.Context(), strings.NewReader(""), "version", "--output", "json").out, &got)
	if got["version"] == "" || !strings.HasPrefix(got["go"], "go1.") || !strings.Contains(got["platform"], "/") {
		t.Errorf("got %v", got)
	}
}
