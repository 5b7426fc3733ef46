// SPDX-License-Identifier: Apache-2.0

package stave

import (
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"slices"
	"strings"
)

// licence is the first line of every Go file.
const licence = "// SPDX-License-Identifier: Apache-2.0"

// checkLicence looks at the first line of each Go file.
func checkLicence(t tree) []string {
	var found []string
	for _, s := range t.sources {
		if !strings.HasPrefix(s.text, licence+"\n") {
			found = append(found, s.name+": its first line is not "+licence)
		}
	}
	return found
}

// checkPackageComments wants one comment for each package: in doc.go, starting with "Package name"; a program may
// have it in its only file, starting with "Command name" or the name.
func checkPackageComments(t tree) []string {
	comments := map[string][]source{} // by folder: the files with a package comment
	for _, s := range t.sources {
		folder := path.Dir(s.name)
		if s.test() {
			continue
		}
		comments[folder] = append(comments[folder], nil...)
		if s.syntax.Doc != nil {
			comments[folder] = append(comments[folder], s)
		}
	}
	var found []string
	for folder, sources := range comments {
		if len(sources) != 1 {
			found = append(found, fmt.Sprintf("%s: has %d package comments, wants one in doc.go", folder, len(sources)))
			continue
		}
		found = append(found, packageComment(sources[0])...)
	}
	slices.Sort(found)
	return found
}

// packageComment checks the place and the first words of a package comment.
func packageComment(s source) []string {
	name, text := s.syntax.Name.Name, s.syntax.Doc.Text()
	switch {
	case name != "main" && path.Base(s.name) != "doc.go":
		return []string{s.name + ": the package comment belongs in doc.go"}
	case name != "main" && !strings.HasPrefix(text, "Package "+name+" "):
		return []string{s.name + ": the package comment does not start with Package " + name}
	case name == "main" && !strings.HasPrefix(text, "Command "):
		return []string{s.name + ": the comment of a program does not start with Command NAME"}
	}
	return nil
}

// checkDeclarations wants a comment that starts with the name at every function, method, type, constant and variable
// at the top level. Constants or variables in one group may share the comment of the group, or have one each.
func checkDeclarations(t tree) []string {
	var found []string
	for _, s := range t.sources {
		if s.test() {
			continue
		}
		for _, declaration := range s.syntax.Decls {
			switch d := declaration.(type) {
			case *ast.FuncDecl:
				found = append(found, t.commented(d.Name, d.Doc, false)...)
			case *ast.GenDecl:
				found = append(found, t.commentedGroup(d)...)
			}
		}
	}
	return found
}

// commentedGroup checks the comments of a type, const or var declaration.
func (t tree) commentedGroup(d *ast.GenDecl) []string {
	var found []string
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			found = append(found, t.commented(s.Name, first(s.Doc, d.Doc), true)...)
		case *ast.ValueSpec:
			own := first(s.Doc, s.Comment)
			switch {
			case s.Names[0].Name == "_":
			case d.Lparen == token.NoPos:
				found = append(found, t.commented(s.Names[0], d.Doc, false)...)
			case own == nil && d.Doc == nil:
				found = append(found, fmt.Sprintf("%s: %s has no comment, nor has its group", t.at(s), s.Names[0].Name))
			}
		}
	}
	return found
}

// commented checks one comment. That of a type may start with an article.
func (t tree) commented(name *ast.Ident, comment *ast.CommentGroup, article bool) []string {
	text := comment.Text()
	for _, prefix := range []string{"A ", "An ", "The "} {
		if article {
			text = strings.TrimPrefix(text, prefix)
		}
	}
	rest, found := strings.CutPrefix(text, name.Name)
	if found && strings.IndexAny(rest, " ,:.'\n") == 0 {
		return nil
	}
	return []string{fmt.Sprintf("%s: %s has no comment that starts with its name", t.at(name), name.Name)}
}

// first is the first comment that is there.
func first(comments ...*ast.CommentGroup) *ast.CommentGroup {
	for _, c := range comments {
		if c != nil {
			return c
		}
	}
	return nil
}

// commentExamples are the checks of this file.
func commentExamples() map[string]example {
	return map[string]example{
		"licence": {check: checkLicence, bad: `
-- a.go --
package a
-- b.go --
// SPDX-License-Identifier: Apache-2.0

package b
`, finds: []string{"a.go: its first line"}},
		"package comments": {check: checkPackageComments, bad: `
-- a/a.go --
package a
-- b/b.go --
// Package b is right but not here.
package b
-- c/doc.go --
// This package is c.
package c
-- d/doc.go --
// Package d is good.
package d
-- d/d_test.go --
package d
-- e/main.go --
// Prints e.
package main
-- f/main.go --
// Command f prints f.
package main
-- g/doc.go --
// Package g is said twice.
package g
-- g/g.go --
// Package g is said here too.
package g
`, finds: []string{"a: has 0", "b/b.go: the package comment belongs", "c/doc.go: the package comment does not start", "e/main.go: the comment of a program", "g: has 2"}},
		"declarations": {check: checkDeclarations, bad: `
-- a.go --
package a
import "io"
func bare() {}
// This method does.
func (T) Method() {}
// goodness is another name.
func good() {}
// A T is fine.
type T int
type u int
const (
	lonely = 1
	told = 2 // told has a comment
)
// These belong together.
const (
	x = 1
	y = 2
)
// The value v.
var v int
var _ io.Reader
-- a_test.go --
package a
func helper() {}
`, finds: []string{"a.go:3: bare", "a.go:5: Method", "a.go:7: good", "a.go:10: u", "a.go:12: lonely", "a.go:21: v"}},
	}
}
