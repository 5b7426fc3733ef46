// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// rawCalls are the functions outside of this package that the child's path may call: the system call
// itself, and the names under which package syscall has it.
func rawCalls() []string {
	return []string{"syscall.RawSyscall", "syscall.RawSyscall6", "internal/runtime/syscall/linux.Syscall6", "internal/runtime/syscall.Syscall6"}
}

// TestChildPathCallsNothing reads the compiler's assembly: no function that runs in the forked child
// calls into the runtime or anything else but raw system calls and its neighbours. A growing stack, an
// allocation, a bounds check, a write barrier and a panic would each be such a call.
func TestChildPathCallsNothing(t *testing.T) {
	text := assembly(t)
	path := append(childFunctions(t), "(*walker).lead")
	if len(path) < 10 {
		t.Fatalf("child.go has only %v", path)
	}
	for _, name := range path {
		for _, complaint := range complaints(text, name, path) {
			t.Error(complaint)
		}
	}
}

// TestChildPathCheckFindsCalls proves that the check can fail: on functions that allocate, that check
// bounds, that may grow the stack, that call through a pointer, and that are not there.
func TestChildPathCheckFindsCalls(t *testing.T) {
	text := assembly(t)
	for name, want := range map[string]string{
		"(*Assembler).add":  "runtime.makeslice",
		"(*layout).setWord": "runtime.panic",
		"(*Host).Expand":    "is not nosplit",
		"(*Host).step":      "calls through a pointer",
		"(*walker).missing": "is not in the assembly",
	} {
		found := complaints(text, name, nil)
		if !slices.ContainsFunc(found, func(c string) bool { return strings.Contains(c, want) }) {
			t.Errorf("%s: no complaint about %q: %v", name, want, found)
		}
	}
}

// assembly returns what the compiler prints about this package, by function. The functions are named as
// in the source, without the package.
//
//	stave/kernel.(*walker).at STEXT nosplit size=12 args=0x10 locals=0x0 funcid=0x0 align=0x0
//		0x0025 00037 (/src/stave/kernel/child.go:58)	CALL	stave/kernel.(*walker).do(SB)
func assembly(t *testing.T) map[string][]string {
	t.Helper()
	out, err := exec.Command("go", "build", "-gcflags=-S", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	functions := map[string][]string{}
	name := ""
	for line := range strings.Lines(string(out)) {
		if !strings.HasPrefix(line, "\t") {
			name = ""
			if before, _, ok := strings.Cut(line, " STEXT "); ok {
				name = strings.TrimPrefix(before, "stave/kernel.")
			}
		}
		if name != "" {
			functions[name] = append(functions[name], line)
		}
	}
	return functions
}

// complaints says what a function of the child's path does that it must not. path holds the functions of
// this package that it may call.
func complaints(text map[string][]string, name string, path []string) []string {
	lines := text[name]
	if len(lines) == 0 {
		return []string{name + " is not in the assembly"}
	}
	var found []string
	if !strings.Contains(lines[0], " nosplit ") {
		found = append(found, name+" is not nosplit")
	}
	called := regexp.MustCompile(`\((\S+)\)\t(?:CALL|JMP|BL|B)\t(.+)\(SB\)`)
	for _, line := range lines[1:] {
		if strings.Contains(line, "\tCALL\t") && !strings.Contains(line, "(SB)") {
			found = append(found, fmt.Sprintf("%s calls through a pointer: %s", name, strings.TrimSpace(line)))
		}
		m := called.FindStringSubmatch(line)
		if m == nil || slices.Contains(rawCalls(), m[2]) || slices.Contains(path, strings.TrimPrefix(m[2], "stave/kernel.")) {
			continue
		}
		found = append(found, fmt.Sprintf("%s calls %s at %s", name, m[2], m[1]))
	}
	return found
}

// childFunctions lists the functions of child.go, methods as "(*walker).run".
func childFunctions(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "child.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		name := f.Name.Name
		if f.Recv != nil {
			name = fmt.Sprintf("(*%s).%s", f.Recv.List[0].Type.(*ast.StarExpr).X, name)
		}
		names = append(names, name)
	}
	return names
}
