// Package outside looks at the library from outside the workspace: as a module
// of somebody else's that imports it.
package outside

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const main = `package main

import (
	"context"
	"fmt"

	"github.com/streamhouse/streamhouse/libs/producer"
)

func main() {
	p, err := producer.New(context.Background(), "localhost:7070", producer.WithTopic("orders"))
	if err == nil {
		err = p.Close(context.Background())
	}
	fmt.Println("closed:", err)
}
`

// allowed are the modules that come into a program with the library. Everyone
// who imports it carries them: one more is a choice to be explained in the
// commit that adds it here.
var allowed = []string{
	"github.com/klauspost/compress",             // zstd and S2
	"github.com/pierrec/lz4/v4",                 // LZ4
	"github.com/streamhouse/streamhouse/proto",  // the wire
	"golang.org/x/net",                          // of gRPC
	"golang.org/x/sys",                          // of gRPC
	"golang.org/x/text",                         // of gRPC
	"google.golang.org/genproto/googleapis/rpc", // of gRPC, and error details
	"google.golang.org/grpc",                    // the transport
	"google.golang.org/protobuf",                // messages
	"github.com/streamhouse/streamhouse/libs/producer",
}

// TestImporter builds and runs a program that imports libs/producer and nothing
// else, without the workspace, and lists what came with it.
func TestImporter(t *testing.T) {
	dir := importer(t)
	if said := run(t, dir, "run", "."); said != "closed: <nil>" {
		t.Errorf("the program says %q", said)
	}
	var got []string
	for module := range strings.FieldsSeq(run(t, dir, "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", ".")) {
		if module != "example.com/importer" {
			got = append(got, module)
		}
	}
	slices.Sort(got)
	slices.Sort(allowed)
	if got = slices.Compact(got); !slices.Equal(got, allowed) {
		t.Errorf("libs/producer brings the modules\n%s\nand is to bring\n%s", strings.Join(got, "\n"), strings.Join(allowed, "\n"))
	}
}

// importer writes the program into a folder of its own. The sums are the
// library's, so that nothing has to be looked up.
func importer(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	sums, err := os.ReadFile(filepath.Join(root, "libs", "producer", "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	const prefix = "github.com/streamhouse/streamhouse/"
	var goMod strings.Builder
	goMod.WriteString("module example.com/importer\n\ngo 1.25.0\n\nrequire " + prefix + "libs/producer v0.1.0\n")
	for _, module := range []string{"libs/producer", "proto"} {
		goMod.WriteString("\nreplace " + prefix + module + " => " + filepath.Join(root, filepath.FromSlash(module)) + "\n")
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"go.mod": goMod.String(), "go.sum": string(sums), "main.go": main} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// run runs the go command outside of the workspace.
func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	out, err := cmd.Output()
	if err != nil {
		said := ""
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			said = string(exit.Stderr)
		}
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, said)
	}
	return strings.TrimSpace(string(out))
}
