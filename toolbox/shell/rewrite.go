// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"strings"

	"mvdan.cc/sh/v3/syntax"
)

// The words below take the place of what the interpreter would do inside its own process.
const (
	wordExec       = "stave-exec"       // exec COMMAND
	wordBackground = "stave-background" // COMMAND &
	wordSubshell   = "stave-subshell"   // any other list with &
	wordTrapDone   = "stave-trap-done"  // see runTrap
	wordWith       = "stave-with"       // COMMAND 3>FILE
	wordScope      = "stave-scope"      // ( exec 3>FILE; … )
	wordDescriptor = "stave-descriptor" // exec 3>FILE
	variableBG     = "STAVE_LAST_BACKGROUND"
	variablePID    = "STAVE_SHELL_PID"
)

// rewrite changes a parsed program before it runs, where the interpreter's own way would not be a process:
//
//	exec CMD ARG      stave-exec CMD ARG           replaces the process
//	CMD ARG &         stave-background CMD ARG     a child of the shell
//	{ LIST; } &       stave-subshell '{ LIST; }'   a child shell that runs the text
//	$!                ${STAVE_LAST_BACKGROUND}     a PID
//	$$                ${STAVE_SHELL_PID}           in a child shell too, the PID of the first one
//
// exec is left alone where a real shell would have forked already: in ( … ), $( … ) and a pipe.
//
// What becomes of redirections, redirections tells.
func rewrite(root syntax.Node) { rewriteAt(root, 0) }

// rewriteAt is rewrite for a text that stands inside of so many subshells.
func rewriteAt(root syntax.Node, depth int) {
	// The walk tells the end of a node by calling with nil; depth counts the nodes that run in a subshell.
	var open []bool
	syntax.Walk(root, func(node syntax.Node) bool {
		if node == nil {
			if open[len(open)-1] {
				depth--
			}
			open = open[:len(open)-1]
			return true
		}
		// The statement in the background goes first: its text is taken before anything in it is changed.
		if stmt, ok := node.(*syntax.Stmt); ok {
			if stmt.Background {
				background(stmt)
			}
			redirections(stmt, depth)
		}
		change(node, depth)
		forks := runsInSubshell(node)
		if forks {
			depth++
		}
		open = append(open, forks)
		return true
	})
}

// change rewrites one node.
func change(node syntax.Node, depth int) {
	switch node := node.(type) {
	case *syntax.ParamExp:
		if node.Param == nil {
			return
		}
		switch node.Param.Value {
		case "!":
			node.Param.Value, node.Short = variableBG, false
		case "$":
			node.Param.Value, node.Short = variablePID, false
		}
	case *syntax.Subshell:
		node.Stmts = scoped(node.Stmts, depth+1)
	case *syntax.CmdSubst:
		node.Stmts = scoped(node.Stmts, depth+1)
	case *syntax.CallExpr:
		if depth == 0 && len(node.Args) > 1 && node.Args[0].Lit() == "exec" {
			node.Args[0] = literal(wordExec)
		}
	}
}

// runsInSubshell reports whether a shell runs this node in a child.
func runsInSubshell(node syntax.Node) bool {
	switch node := node.(type) {
	case *syntax.Subshell, *syntax.CmdSubst, *syntax.ProcSubst:
		return true
	case *syntax.BinaryCmd:
		return node.Op == syntax.Pipe || node.Op == syntax.PipeAll
	}
	return false
}

// background turns a statement with & into one of ours that starts a child and does not wait.
func background(stmt *syntax.Stmt) {
	stmt.Background = false
	if call, ok := stmt.Cmd.(*syntax.CallExpr); ok && len(call.Args) > 0 && !stmt.Negated {
		call.Args = append([]*syntax.Word{literal(wordBackground)}, call.Args...)
		return
	}
	text := source(stmt)
	stmt.Negated = false
	stmt.Redirs = nil
	stmt.Cmd = &syntax.CallExpr{Args: []*syntax.Word{
		literal(wordSubshell),
		quoted(text),
	}}
}

// quoted is a word that stands for text whatever is in it: 'it'"'"'s'.
func quoted(text string) *syntax.Word {
	word := &syntax.Word{}
	for i, part := range strings.Split(text, "'") {
		if i > 0 {
			word.Parts = append(word.Parts, &syntax.DblQuoted{Parts: []syntax.WordPart{&syntax.Lit{Value: "'"}}})
		}
		word.Parts = append(word.Parts, &syntax.SglQuoted{Value: part})
	}
	return word
}

// quotedList is a command line that gives exactly these arguments.
func quotedList(args []string) string {
	call := &syntax.CallExpr{}
	for _, arg := range args {
		call.Args = append(call.Args, quoted(arg))
	}
	return source(call)
}

// literal is a word without quotes or expansions.
func literal(text string) *syntax.Word {
	return &syntax.Word{Parts: []syntax.WordPart{&syntax.Lit{Value: text}}}
}

// source is the text of a node.
func source(node syntax.Node) string {
	var text strings.Builder
	_ = syntax.NewPrinter().Print(&text, node) // a strings.Builder takes everything
	return text.String()
}

// rewriteText is rewrite for a text that the interpreter will parse by itself: that of eval, trap and source. A text with
// a mistake in it is given back as it is, for the interpreter to complain about.
func rewriteText(text string) string { return rewriteTextAt(text, 0) }

// rewriteTextAt is rewriteText for a text that stands inside of so many subshells.
func rewriteTextAt(text string, depth int) string {
	file, err := syntax.NewParser().Parse(strings.NewReader(text), "")
	if err != nil {
		return text
	}
	rewriteAt(file, depth)
	return source(file)
}
