// SPDX-License-Identifier: Apache-2.0

package stave

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// module is the path that our own imports start with.
const module = "stave/"

// mechanisms are the six packages that plan kernel calls; they never import each other.
func mechanisms() []string {
	return []string{"chroot", "namespaces", "cgroups", "unionfs", "netstack", "security"}
}

// allowedImports says what the packages of a folder may import of ours, besides those of their own folder. A name
// stands for a folder and all below it. The second result is false for a folder that is not in the table.
func allowedImports(folder string) ([]string, bool) {
	core := append([]string{"kernel"}, mechanisms()...)
	switch folder {
	case "kernel", "registry", "toolbox", "internal", ".":
		return nil, true
	case "chroot", "namespaces", "cgroups", "unionfs", "netstack", "security":
		return []string{"kernel"}, true
	case "container":
		return slices.DeleteFunc(core, func(name string) bool { return name == "unionfs" }), true
	case "builder":
		return []string{"registry"}, true
	case "engine":
		return append(core, "registry", "container", "builder"), true
	case "compose":
		return []string{"engine/api", "engine/client"}, true
	case "cmd":
		return []string{"container", "engine", "compose", "builder", "registry", "toolbox"}, true
	case "steps", "labs", "lessons":
		return append(core, "registry", "container"), true
	case "bench":
		return append(core, "registry", "container", "toolbox"), true
	}
	return nil, false
}

// checkImports holds the imports of every file against the table. Tests may import internal/witness as well.
func checkImports(t tree) []string {
	var found []string
	for _, s := range t.sources {
		folder := top(s.name)
		allowed, known := allowedImports(folder)
		if !known {
			found = append(found, s.name+": the folder "+folder+" is not in the import rule (imports_test.go): a new one needs a record in lessons/decisions")
			continue
		}
		if s.test() {
			allowed = append(allowed, "internal/witness")
		}
		for _, name := range imported(s) {
			own, ours := strings.CutPrefix(name, module)
			if ours && !within(own, ownFolder(s.name)) && !slices.ContainsFunc(allowed, func(a string) bool { return within(own, a) }) {
				found = append(found, fmt.Sprintf("%s: imports %s; %s may import of ours: %s", s.name, name, folder, orNothing(allowed)))
			}
		}
	}
	return found
}

// ownFolder is the folder whose packages may import each other. Steps and labs stand alone, so theirs is one deeper.
func ownFolder(name string) string {
	parts := strings.Split(name, "/")
	if (parts[0] == "steps" || parts[0] == "labs" || parts[0] == "internal") && len(parts) > 2 {
		return parts[0] + "/" + parts[1]
	}
	return parts[0]
}

// imported lists the import paths of a file.
func imported(s source) []string {
	var names []string
	for _, spec := range s.syntax.Imports {
		name, _ := strconv.Unquote(spec.Path.Value) // the parser has accepted it
		names = append(names, name)
	}
	return names
}

// within says whether a path is a folder or below it.
func within(name, folder string) bool {
	return name == folder || strings.HasPrefix(name, folder+"/")
}

// orNothing lists names, or says that there are none.
func orNothing(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// checkUnsafe finds unsafe outside kernel, and cgo anywhere.
func checkUnsafe(t tree) []string {
	var found []string
	for _, s := range t.sources {
		for _, name := range imported(s) {
			switch {
			case name == "unsafe" && top(s.name) != "kernel":
				found = append(found, s.name+": imports unsafe; only kernel may")
			case name == "C":
				found = append(found, s.name+": uses cgo; see lessons/decisions/0002-no-cgo.md")
			}
		}
	}
	return found
}

// importExamples are the checks of this file.
func importExamples() map[string]example {
	return map[string]example{
		"imports": {check: checkImports, bad: `
-- kernel/a.go --
package kernel
import _ "stave/kernel/deep"
import _ "stave/chroot"
-- chroot/a.go --
package chroot
import _ "stave/kernel"
import _ "stave/namespaces"
-- chroot/a_test.go --
package chroot
import _ "stave/internal/witness"
-- chroot/b.go --
package chroot
import _ "stave/internal/witness"
-- container/a.go --
package container
import _ "stave/security"
import _ "stave/unionfs"
-- compose/a.go --
package compose
import _ "stave/engine/client"
import _ "stave/engine"
-- steps/02-b/main.go --
package main
import _ "stave/steps/02-b/own"
import _ "stave/steps/01-a"
-- toolbox/a.go --
package toolbox
import _ "stave/toolbox/sh"
import _ "stave/kernel"
-- utils/a.go --
package utils
`, finds: []string{
			"chroot/a.go: imports stave/namespaces; chroot may import of ours: kernel",
			"chroot/b.go: imports stave/internal/witness",
			"compose/a.go: imports stave/engine;",
			"container/a.go: imports stave/unionfs; container may import of ours: kernel, chroot, namespaces, cgroups, netstack, security",
			"kernel/a.go: imports stave/chroot; kernel may import of ours: nothing",
			"steps/02-b/main.go: imports stave/steps/01-a",
			"toolbox/a.go: imports stave/kernel",
			"utils/a.go: the folder utils is not in the import rule",
		}},
		"unsafe": {check: checkUnsafe, bad: `
-- kernel/a.go --
package kernel
import "unsafe"
-- chroot/a.go --
package chroot
import "unsafe"
-- security/a.go --
package security
import "C"
`, finds: []string{"chroot/a.go: imports unsafe", "security/a.go: uses cgo"}},
	}
}

// heavy finds, among the packages that a program links, those that an OCI runtime has no use for: each costs memory
// and time at every start of a container.
func heavy(linked []string) []string {
	var found []string
	for _, name := range linked {
		if name == "net/http" || within(name, module+"engine") {
			found = append(found, name)
		}
	}
	return found
}

// TestRuntimeIsLight looks at what cmd/stave-oci links.
func TestRuntimeIsLight(t *testing.T) {
	if got := heavy([]string{"net", "net/http", "stave/engine/api", "stave/engineer"}); len(got) != 2 {
		t.Errorf("the check finds %v", got)
	}
	if _, err := os.Stat("cmd/stave-oci"); err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-deps", "./cmd/stave-oci")
	list.Env = append(os.Environ(), "GOOS=linux", "CGO_ENABLED=0")
	output, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for _, name := range heavy(strings.Fields(string(output))) {
		t.Errorf("cmd/stave-oci links %s", name)
	}
}
