// SPDX-License-Identifier: Apache-2.0

package stave

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"
)

// source is one Go file of the repository.
type source struct {
	name   string // "chroot/plan.go"
	text   string
	syntax *ast.File
}

// tree is what the checks read: a repository, or a bad example.
type tree struct {
	files   fs.FS
	names   []string // all files, without those of git, of builds and of test data
	sources []source
	set     *token.FileSet
}

// check is a rule: it returns what it finds wrong, "file: what, and what would be right".
type check func(tree) []string

// example is a check with a repository in txtar form that breaks the rule, and a part of each finding, in order.
type example struct {
	check check
	bad   string
	finds []string
}

// examples are all checks of the repository.
func examples() map[string]example {
	all := map[string]example{}
	for _, group := range []map[string]example{importExamples(), commentExamples(), shapeExamples(), documentExamples()} {
		maps.Copy(all, group)
	}
	return all
}

// TestExamples proves that each check can fail: it must find what is wrong in its bad example, and nothing else.
func TestExamples(t *testing.T) {
	for name, e := range examples() {
		t.Run(name, func(t *testing.T) {
			files := fstest.MapFS{}
			for _, f := range txtar.Parse([]byte(e.bad)).Files {
				files[f.Name] = &fstest.MapFile{Data: f.Data}
			}
			example, err := load(files)
			if err != nil {
				t.Fatal(err)
			}
			found := e.check(example)
			if len(found) != len(e.finds) {
				t.Errorf("found %d, want %d", len(found), len(e.finds))
			}
			for i := range min(len(found), len(e.finds)) {
				if !strings.Contains(found[i], e.finds[i]) {
					t.Errorf("finding %d lacks %q", i, e.finds[i])
				}
			}
			if t.Failed() {
				t.Log("found:\n" + strings.Join(found, "\n"))
			}
		})
	}
}

// TestRepository holds every check against the repository itself.
func TestRepository(t *testing.T) {
	repository, err := load(os.DirFS("."))
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range examples() {
		t.Run(name, func(t *testing.T) {
			for _, finding := range e.check(repository) {
				t.Error(finding)
			}
		})
	}
}

// load reads a tree. Files that do not parse are an error: the compiler would not have them either.
func load(files fs.FS) (tree, error) {
	t := tree{files: files, set: token.NewFileSet()}
	err := fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains([]string{".git", "bin", "build", "testdata", "vendor"}, entry.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		t.names = append(t.names, name)
		if path.Ext(name) != ".go" {
			return nil
		}
		return t.parse(name)
	})
	return t, err
}

// parse adds a Go file to the tree.
func (t *tree) parse(name string) error {
	text, err := fs.ReadFile(t.files, name)
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(t.set, name, text, parser.ParseComments)
	if err != nil {
		return err
	}
	t.sources = append(t.sources, source{name, string(text), syntax})
	return nil
}

// read returns the text of a file, or nothing if there is none.
func (t tree) read(name string) string {
	text, _ := fs.ReadFile(t.files, name)
	return string(text)
}

// at is the place of a node, for a finding.
func (t tree) at(node ast.Node) string {
	p := t.set.Position(node.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// test says whether a file holds tests.
func (s source) test() bool { return strings.HasSuffix(s.name, "_test.go") }

// top is the first folder of a path, and "." for a file of the root.
func top(name string) string {
	first, _, deeper := strings.Cut(name, "/")
	if !deeper {
		return "."
	}
	return first
}

// lines counts the lines of a text.
func lines(text string) int { return strings.Count(text, "\n") }
