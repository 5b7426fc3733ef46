// SPDX-License-Identifier: Apache-2.0

package shell

import (
	"slices"
	"strconv"

	"mvdan.cc/sh/v3/syntax"
)

// The beginnings of the paths that stand for something other than a file of that name; open knows them.
const (
	pathDescriptor = "stave-descriptor:" // a copy of descriptor N
	pathClobber    = "stave-clobber:"    // a file that set -C does not protect
)

// redirections rewrites the redirections that the interpreter doesn't know:
//
//	COMMAND >&3          COMMAND >>stave-descriptor:3
//	COMMAND <&3          COMMAND <stave-descriptor:3
//	COMMAND >|FILE       COMMAND >stave-clobber:FILE
//	COMMAND 3>FILE 1>&2  stave-with 3 '>' FILE 0 'COMMAND 1>&2'
//	exec 3>FILE 1>&2     { stave-descriptor 3 '>' FILE; exec 1>&2; }
//
// They take effect from left to right, so what stands before the first of the last two kinds stays where it is.
func redirections(stmt *syntax.Stmt, depth int) {
	for i, rd := range stmt.Redirs {
		if !wide(rd) {
			narrow(rd)
			continue
		}
		if isBareExec(stmt.Cmd) {
			split(stmt, i)
			return
		}
		rest := *stmt
		rest.Redirs, rest.Negated, rest.Background = stmt.Redirs[i+1:], false, false
		rest.Comments = nil
		stmt.Redirs = stmt.Redirs[:i:i]
		stmt.Cmd = &syntax.CallExpr{Args: append([]*syntax.Word{literal(wordWith)},
			append(operands(rd), literal(strconv.Itoa(depth)), quoted(source(&rest)))...)}
		return
	}
}

// split rewrites exec with nothing but redirections, of which number i is one of a descriptor from 3 on. The block has the ones
// before it, itself, and the ones after it as statements; rewriting goes on inside of it.
func split(stmt *syntax.Stmt, i int) {
	block := &syntax.Block{}
	for _, part := range [][]*syntax.Redirect{stmt.Redirs[:i], {stmt.Redirs[i]}, stmt.Redirs[i+1:]} {
		if len(part) == 0 {
			continue
		}
		one := &syntax.Stmt{Cmd: &syntax.CallExpr{Args: []*syntax.Word{literal("exec")}}, Redirs: part}
		if wide(part[0]) && len(part) == 1 {
			one.Cmd = &syntax.CallExpr{Args: append([]*syntax.Word{literal(wordDescriptor)}, operands(part[0])...)}
			one.Redirs = nil
		}
		block.Stmts = append(block.Stmts, one)
	}
	stmt.Cmd, stmt.Redirs = block, nil
}

// scoped is the statements of a subshell, in which exec 3>FILE holds until its end: stave-scope DEPTH 'exec 3>FILE; …'.
func scoped(stmts []*syntax.Stmt, depth int) []*syntax.Stmt {
	changes := false
	for _, stmt := range stmts {
		syntax.Walk(stmt, func(node syntax.Node) bool {
			if s, ok := node.(*syntax.Stmt); ok && isBareExec(s.Cmd) && slices.ContainsFunc(s.Redirs, wide) {
				changes = true
			}
			return !changes
		})
	}
	if !changes {
		return stmts
	}
	text := source(&syntax.File{Stmts: stmts})
	return []*syntax.Stmt{{Cmd: &syntax.CallExpr{Args: []*syntax.Word{literal(wordScope), literal(strconv.Itoa(depth)), quoted(text)}}}}
}

// wide reports whether a redirection is one of a descriptor from 3 on.
func wide(rd *syntax.Redirect) bool {
	return rd.N != nil && len(rd.N.Value) == 1 && rd.N.Value >= "3" && rd.Hdoc == nil
}

// isBareExec reports whether a command is exec without a program to execute.
func isBareExec(cmd syntax.Command) bool {
	call, ok := cmd.(*syntax.CallExpr)
	return ok && len(call.Args) == 1 && call.Args[0].Lit() == "exec"
}

// narrow rewrites a redirection of the descriptors 0 to 2.
func narrow(rd *syntax.Redirect) {
	switch rd.Op {
	case syntax.DplOut:
		if to := rd.Word.Lit(); to != "1" && to != "2" && to != "-" {
			rd.Op, rd.Word = syntax.AppOut, prefixed(pathDescriptor, rd.Word)
		}
	case syntax.DplIn:
		if rd.Word.Lit() != "-" {
			rd.Op, rd.Word = syntax.RdrIn, prefixed(pathDescriptor, rd.Word)
		}
	case syntax.RdrClob:
		rd.Op, rd.Word = syntax.RdrOut, prefixed(pathClobber, rd.Word)
	}
}

// prefixed is a word with a text before it.
func prefixed(text string, word *syntax.Word) *syntax.Word {
	return &syntax.Word{Parts: append([]syntax.WordPart{&syntax.Lit{Value: text}}, word.Parts...)}
}

// operands is a redirection as three words: number, operator, target. What would be split as an argument, but not as the
// target of a redirection, is quoted.
func operands(rd *syntax.Redirect) []*syntax.Word {
	target := &syntax.Word{}
	for _, part := range rd.Word.Parts {
		switch part.(type) {
		case *syntax.Lit, *syntax.SglQuoted, *syntax.DblQuoted:
		default:
			part = &syntax.DblQuoted{Parts: []syntax.WordPart{part}}
		}
		target.Parts = append(target.Parts, part)
	}
	return []*syntax.Word{literal(rd.N.Value), quoted(rd.Op.String()), target}
}
