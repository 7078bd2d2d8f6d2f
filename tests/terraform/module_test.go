// Package terraform tests what infra/terraform creates. The tests of its words
// run everywhere; those that call Terraform have the build tag terraform
// (task test-terraform, task test-apply).
package terraform

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

const root = "../../infra/terraform"

// module is a folder with Terraform files.
type module struct {
	name      string // path below root
	variables map[string]block
	outputs   map[string]block
	blocks    []block
}

// block is a block of HCL as it is written.
type block struct {
	*hclsyntax.Block
	source []byte
}

// text is the source of an attribute's value, or nothing.
func (b block) text(attribute string) string {
	a, ok := b.Body.Attributes[attribute]
	if !ok {
		return ""
	}
	r := a.Expr.Range()
	return string(b.source[r.Start.Byte:r.End.Byte])
}

// words is the value of an attribute that is a plain string.
func (b block) words(attribute string) string {
	return strings.ReplaceAll(strings.Trim(b.text(attribute), `"`), `\"`, `"`)
}

// modules parses every folder that has variables.
func modules(t *testing.T) []module {
	t.Helper()
	var all []module
	for _, pattern := range []string{".", "registry", "modules/*", "examples/*"} {
		folders, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil || len(folders) == 0 {
			t.Fatalf("no folder is named %s: %v", pattern, err)
		}
		for _, folder := range folders {
			all = append(all, parse(t, folder))
		}
	}
	return all
}

func parse(t *testing.T, folder string) module {
	t.Helper()
	name, err := filepath.Rel(root, folder)
	if err != nil {
		t.Fatal(err)
	}
	m := module{name: name, variables: map[string]block{}, outputs: map[string]block{}}
	for _, b := range blocks(t, filepath.Join(folder, "*.tf")) {
		m.blocks = append(m.blocks, b)
		switch b.Type {
		case "variable":
			m.variables[b.Labels[0]] = b
		case "output":
			m.outputs[b.Labels[0]] = b
		}
	}
	return m
}

func blocks(t *testing.T, pattern string) []block {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	var all []block
	for _, name := range files {
		source := read(t, name)
		f, problems := hclparse.NewParser().ParseHCL(source, name)
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		for _, b := range f.Body.(*hclsyntax.Body).Blocks {
			all = append(all, block{b, source})
		}
	}
	return all
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sorted gives blocks in the order in which they are written.
func sorted(blocks map[string]block) []string {
	return slices.SortedFunc(maps.Keys(blocks), func(a, b string) int {
		return blocks[a].DefRange().Start.Byte - blocks[b].DefRange().Start.Byte
	})
}
