// SPDX-License-Identifier: Apache-2.0

package stave

import (
	"fmt"
	"go/ast"
	"go/scanner"
	"go/token"
	"path"
	"slices"
	"strings"
)

// The limits of size, in lines. Those of functions and files are where a reader loses the thread, not a goal. That of the
// core is in lines of code, which makes no comment a burden (lessons/decisions/0010-core-size.md).
const (
	maxFunction = 60
	maxFile     = 400
	maxStep     = 150
	maxCore     = 23_500
)

// longOnPurpose are functions ("file: name") and files that may be longer than the limits, with the reason.
func longOnPurpose() map[string]string {
	return map[string]string{}
}

// checkFunctions measures the functions outside tests, from "func" to the last brace.
func checkFunctions(t tree) []string {
	var found []string
	for _, s := range t.sources {
		for _, declaration := range s.syntax.Decls {
			f, ok := declaration.(*ast.FuncDecl)
			if !ok || s.test() || longOnPurpose()[s.name+": "+f.Name.Name] != "" {
				continue
			}
			n := t.set.Position(f.End()).Line - t.set.Position(f.Pos()).Line + 1
			if n > maxFunction {
				found = append(found, fmt.Sprintf("%s: %s has %d lines, at most %d", t.at(f), f.Name.Name, n, maxFunction))
			}
		}
	}
	return found
}

// checkFiles measures the files outside tests, the steps, and the core as a whole.
func checkFiles(t tree) []string {
	var found []string
	core := append([]string{"kernel", "container"}, mechanisms()...)
	total := 0
	for _, s := range t.sources {
		n := lines(s.text)
		if s.test() {
			continue
		}
		suite := strings.HasSuffix(path.Dir(s.name), "test") // a package of tests for many, as iotest is
		if slices.Contains(core, top(s.name)) && !suite {
			total += codeLines(s.text)
		}
		step := top(s.name) == "steps" && path.Base(s.name) == "main.go"
		switch {
		case step && n > maxStep:
			found = append(found, fmt.Sprintf("%s: has %d lines, a step at most %d", s.name, n, maxStep))
		case n > maxFile && longOnPurpose()[s.name] == "":
			found = append(found, fmt.Sprintf("%s: has %d lines, at most %d", s.name, n, maxFile))
		}
	}
	if total > maxCore {
		found = append(found, fmt.Sprintf("the core (%s) has %d lines of code, at most %d", strings.Join(core, ", "), total, maxCore))
	}
	return found
}

// codeLines counts the lines of a Go file that have more than a comment on them, as tools that count code do (cloc, scc): a text
// over several lines is as many.
func codeLines(text string) int {
	set := token.NewFileSet()
	file := set.AddFile("", -1, len(text))
	var s scanner.Scanner
	s.Init(file, []byte(text), nil, 0) // without a mode it leaves comments out
	count, last := 0, 0
	for {
		pos, tok, literal := s.Scan()
		switch {
		case tok == token.EOF:
			return count
		case tok == token.SEMICOLON && literal == "\n": // put in by the scanner
			continue
		}
		first := file.Line(pos)
		end := first + strings.Count(literal, "\n")
		count += end - max(first, last+1) + 1
		last = max(last, end)
	}
}

// checkState finds init functions, and package variables that could change, outside tests.
func checkState(t tree) []string {
	var found []string
	for _, s := range t.sources {
		if s.test() {
			continue
		}
		for _, declaration := range s.syntax.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil && d.Name.Name == "init" {
					found = append(found, t.at(d)+": init; let main call it, or the constructor")
				}
			case *ast.GenDecl:
				if d.Tok == token.VAR {
					found = append(found, t.mutable(s, d)...)
				}
			}
		}
	}
	return found
}

// mutable finds the variables of a declaration that are neither constant in all but name nor set by the tools.
func (t tree) mutable(s source, d *ast.GenDecl) []string {
	var found []string
	for _, spec := range d.Specs {
		v := spec.(*ast.ValueSpec) // the grammar has nothing else after var
		for i, name := range v.Names {
			embedded := strings.Contains(raw(d.Doc)+raw(v.Doc), "//go:embed ")
			linked := s.syntax.Name.Name == "main" && name.Name == "version" // set with -ldflags -X
			constant := i < len(v.Values) && (constantCall(v.Values[i]) || t.constantTable(s, name.Name, v.Values[i]))
			if name.Name != "_" && !embedded && !linked && !constant {
				found = append(found, fmt.Sprintf("%s: variable %s; let main make it and hand it down, or use a constant or function", t.at(name), name.Name))
			}
		}
	}
	return found
}

// raw is a comment with its directives, which Text leaves out.
func raw(comment *ast.CommentGroup) string {
	var text strings.Builder
	if comment != nil {
		for _, line := range comment.List {
			text.WriteString(line.Text + "\n")
		}
	}
	return text.String()
}

// constantCall says whether a value is made by a function whose results never change: an error, a compiled pattern, a
// value computed once.
func constantCall(value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return false
	}
	switch name(call.Fun) {
	case "errors.New", "fmt.Errorf", "regexp.MustCompile", "strings.NewReplacer", "sync.OnceFunc", "sync.OnceValue", "sync.OnceValues":
		return true
	}
	return false
}

// constantTable says whether a variable is a table that nobody outside the package can name and nothing in it writes:
// Go has no constants of these types.
func (t tree) constantTable(owner source, variable string, value ast.Expr) bool {
	if _, ok := value.(*ast.CompositeLit); !ok || ast.IsExported(variable) {
		return false
	}
	for _, s := range t.sources {
		if path.Dir(s.name) == path.Dir(owner.name) && writes(s.syntax, variable) {
			return false
		}
	}
	return true
}

// writes says whether a file assigns to a variable or to a part of it, takes its address, or clears it.
func writes(file *ast.File, variable string) bool {
	written := false
	ast.Inspect(file, func(node ast.Node) bool {
		var targets []ast.Expr
		switch n := node.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				targets = n.Lhs
			}
		case *ast.IncDecStmt:
			targets = []ast.Expr{n.X}
		case *ast.UnaryExpr:
			if n.Op == token.AND {
				targets = []ast.Expr{n.X}
			}
		case *ast.CallExpr:
			if f := name(n.Fun); len(n.Args) > 0 && (f == "delete" || f == "clear" || f == "copy") {
				targets = n.Args[:1]
			}
		}
		written = written || slices.ContainsFunc(targets, func(e ast.Expr) bool { return root(e) == variable })
		return !written
	})
	return written
}

// name is a plain or qualified name, such as errors.New.
func name(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return name(x.X) + "." + x.Sel.Name
	}
	return ""
}

// root is the variable that an expression such as v.field[3] is a part of.
func root(e ast.Expr) string {
	switch x := e.(type) {
	case *ast.Ident:
		return x.Name
	case *ast.SelectorExpr:
		return root(x.X)
	case *ast.IndexExpr:
		return root(x.X)
	case *ast.SliceExpr:
		return root(x.X)
	case *ast.StarExpr:
		return root(x.X)
	case *ast.ParenExpr:
		return root(x.X)
	}
	return ""
}

// shapeExamples are the checks of this file.
func shapeExamples() map[string]example {
	long := func(n int) string { return strings.Repeat("// line\n", n) }
	code := strings.Repeat("const _ = `1\n\n3`\n// no code\n\n/*\nnor this\n*/\n", 2701) // of 8 lines 3 are code
	return map[string]example{
		"functions": {
			check: checkFunctions,
			bad:   "-- a.go --\npackage a\nfunc long() {\n" + long(59) + "}\nfunc fine() {\n" + long(58) + "}\n-- a_test.go --\npackage a\nfunc test() {\n" + long(99) + "}\n",
			finds: []string{"a.go:2: long has 61 lines"},
		},
		"files": {
			check: checkFiles,
			bad: "-- a.go --\npackage a\n" + long(400) + "-- a_test.go --\npackage a\n" + long(400) +
				"-- kernel/a.go --\npackage kernel\n" + code + long(10_000) + "-- chroot/a.go --\npackage chroot\n" + code + "-- cgroups/a.go --\npackage cgroups\n" + code +
				"-- steps/01-x/main.go --\npackage main\n" + long(150),
			finds: []string{
				"a.go: has 401 lines", "cgroups/a.go: has 21609 lines", "chroot/a.go: has 21609 lines", "kernel/a.go: has 31609 lines",
				"steps/01-x/main.go: has 151 lines, a step", "lines of code, at most 23500",
			},
		},
		"state": {check: checkState, bad: `
-- a.go --
package a
var count int
var table = map[string]int{"a": 1}
var written = map[string]int{"a": 1}
var Exported = []string{"a"}
var pointed = []int{1}
var ErrGone = errors.New("gone")
var pattern = regexp.MustCompile("a")
var _ io.Reader = T{}
var once = sync.OnceValue(probe)
//go:embed x.txt
var text string
func init() {}
func (T) init() { written["b"]++ }
func f() { g(&pointed[0]) }
-- cmd/a/main.go --
package main
var version = "dev"
var other = "dev"
-- a_test.go --
package a
var free int
`, finds: []string{"a.go:2: variable count", "a.go:4: variable written", "a.go:5: variable Exported", "a.go:6: variable pointed", "a.go:13: init", "cmd/a/main.go:3: variable other"}},
	}
}
