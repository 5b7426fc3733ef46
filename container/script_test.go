// SPDX-License-Identifier: Apache-2.0

package container

import (
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"mvdan.cc/sh/v3/syntax"

	"stave/cgroups"
	"stave/kernel"
	"stave/namespaces"
	"stave/security"
)

// scriptOf returns the script of a changed example for a caller, and fails if it is no bash.
func scriptOf(t *testing.T, facts Facts, changes ...func(*specs.Spec)) string {
	t.Helper()
	spec := Example()
	spec.Process.Terminal = false
	for _, c := range changes {
		c(spec)
	}
	script, err := Script(&Bundle{Dir: "/bundle", Spec: spec}, facts, Options{ID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(strings.NewReader(script), "script"); err != nil {
		t.Fatalf("%v in:\n%s", err, script)
	}
	return script
}

// TestScriptNamesEveryCall compares the comments of a script with the calls of the program: each call has
// its comment, but for those that unshare, nsenter and setpriv do.
func TestScriptNamesEveryCall(t *testing.T) {
	spec := Example()
	spec.Process.Terminal = false
	facts := inGroup(Facts{Cgroups: cgroups.Sample(cgroups.V2), Security: security.Facts{LastCapability: 40}})
	p, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, facts, Options{ID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	script := scriptOf(t, facts)
	end := slices.IndexFunc(p.Container, func(c kernel.Call) bool { return strings.HasPrefix(c.String(), "pivot_root") })
	if end < 0 {
		t.Fatal("there is no pivot_root in the program")
	}
	for _, c := range p.Container[:end+1] {
		if _, ok := c.Request.(namespaces.Unshare); ok {
			continue
		}
		if !strings.Contains(script, "# "+c.String()+": "+c.Why+"\n") {
			t.Errorf("the script does not name the call %q", c)
		}
	}
}

// TestScriptOfAnOrdinaryUser wants no change of groups where only one is mapped, and the maps written
// from outside.
func TestScriptOfAnOrdinaryUser(t *testing.T) {
	facts := Facts{UID: 1000, Security: security.Facts{LastCapability: 40}}
	script := scriptOf(t, facts, func(s *specs.Spec) { Rootless(s, 1000, 1000) })
	for _, want := range []string{"nsenter --user=/proc/$pid/ns/user --preserve-credentials", "/proc/$pid/setgroups", "--keep-groups"} {
		if !strings.Contains(script, want) {
			t.Errorf("the script has no %q:\n%s", want, script)
		}
	}
	if strings.Contains(script, "--clear-groups") {
		t.Error("the script wants to change its groups, which is denied")
	}
}

// TestScriptQuotes gives words to the script that bash would change.
func TestScriptQuotes(t *testing.T) {
	facts := inGroup(Facts{Cgroups: cgroups.Sample(cgroups.V2), Security: security.Facts{LastCapability: 40}, Home: "/it's home"})
	words := []string{"printf", "%s", "it's", `"$HOME"`, "`x`", "a\nb", "", "*", "CONTAINER", "x\nCONTAINER\ny"}
	script := scriptOf(t, facts, func(s *specs.Spec) { s.Process.Args = words })
	var found []string
	file, err := syntax.NewParser().Parse(strings.NewReader(heredoc(t, script)), "inner")
	if err != nil {
		t.Fatal(err)
	}
	last := file.Stmts[len(file.Stmts)-1].Cmd.(*syntax.CallExpr)
	for _, w := range last.Args[len(last.Args)-len(words):] {
		found = append(found, literal(w))
	}
	if !slices.Equal(found, words) {
		t.Errorf("the command in the script is %q, want %q", found, words)
	}
}

// TestScriptKeepsCommentsTogether gives a mount a target with a line feed: what follows it must not become
// a command.
func TestScriptKeepsCommentsTogether(t *testing.T) {
	facts := inGroup(Facts{Cgroups: cgroups.Sample(cgroups.V2), Security: security.Facts{LastCapability: 40}})
	script := scriptOf(t, facts, func(s *specs.Spec) {
		s.Mounts = append(s.Mounts, specs.Mount{Destination: "/a\nfalse #", Type: "tmpfs", Source: "tmpfs"})
	})
	file, err := syntax.NewParser().Parse(strings.NewReader(heredoc(t, script)), "inner")
	if err != nil {
		t.Fatal(err)
	}
	for _, statement := range file.Stmts {
		if call, ok := statement.Cmd.(*syntax.CallExpr); ok && len(call.Args) > 0 && literal(call.Args[0]) == "false" {
			t.Errorf("the target of a mount has become a command in line %d", statement.Pos().Line())
		}
	}
}

// heredoc returns the part of a script that runs in the container.
func heredoc(t *testing.T, script string) string {
	t.Helper()
	_, rest, _ := strings.Cut(script, "<<'")
	end, rest, _ := strings.Cut(rest, "'\n")
	inner, _, found := strings.Cut(rest, "\n"+end+"\n")
	if !found {
		t.Fatalf("no part for the container in:\n%s", script)
	}
	return inner
}

// literal is what bash makes of a word of plain text and single quotes.
func literal(w *syntax.Word) string {
	var text strings.Builder
	for _, part := range w.Parts {
		switch p := part.(type) {
		case *syntax.Lit:
			text.WriteString(strings.ReplaceAll(p.Value, `\`, ""))
		case *syntax.SglQuoted:
			text.WriteString(p.Value)
		}
	}
	return text.String()
}
