package seed

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// TestEveryTestExists holds the table in doc.go to the sources: a test that is
// renamed, removed or skipped does not stay in it unseen.
func TestEveryTestExists(t *testing.T) {
	root := filepath.Join("..", "..")
	folders := map[string]map[string]*ast.FuncDecl{}
	rows := table(t)
	for _, r := range rows {
		if r.test != camelCase(r.seed) {
			t.Errorf("%s is called %s: it should be %s", r.seed, r.test, camelCase(r.seed))
		}
		if folders[r.folder] == nil {
			folders[r.folder] = tests(t, filepath.Join(root, filepath.FromSlash(r.folder)))
		}
		switch f := folders[r.folder][r.test]; {
		case f == nil:
			t.Errorf("%s: %s has no %s", r.seed, r.folder, r.test)
		case len(f.Body.List) == 0:
			t.Errorf("%s: %s is empty", r.seed, r.test)
		case skips(f):
			t.Errorf("%s: %s can be skipped", r.seed, r.test)
		}
	}
	if len(rows) != 38 {
		t.Errorf("the table has %d tests, and the first design named 38", len(rows))
	}
}

type row struct{ seed, test, folder string }

func table(t *testing.T) []row {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "doc.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for line := range strings.Lines(f.Doc.Text()) {
		if cells := strings.Fields(line); len(cells) == 3 && strings.HasPrefix(cells[0], "test_") {
			rows = append(rows, row{cells[0], cells[1], cells[2]})
		}
	}
	return rows
}

func camelCase(name string) string {
	var b strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// tests are the functions in the test files of a folder and of those below it
// in the same module.
func tests(t *testing.T, folder string) map[string]*ast.FuncDecl {
	t.Helper()
	found := map[string]*ast.FuncDecl{}
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range f.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				found[f.Name.Name] = f
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// skips tells whether a function calls a method by which tests are skipped.
func skips(f *ast.FuncDecl) bool {
	found := false
	ast.Inspect(f, func(n ast.Node) bool {
		if s, ok := n.(*ast.SelectorExpr); ok && (s.Sel.Name == "Skip" || s.Sel.Name == "SkipNow" || s.Sel.Name == "Skipf") {
			found = true
		}
		return true
	})
	return found
}
