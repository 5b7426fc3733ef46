// SPDX-License-Identifier: Apache-2.0

// Package shell is the toolbox's sh: the interpreter of mvdan.cc/sh with what a lesson on containers needs and an
// interpreter inside another program leaves out.
//
//   - Every command is a process of its own, made by fork and execve, never a function of this program: ps, signals,
//     namespaces and /proc/self are then what they are on any Linux.
//   - exec replaces the process and keeps its PID; $! is a real PID; a list in the background is a real child shell.
//   - Signals can be trapped; jobs, fg, bg, wait, kill, umask and ulimit work.
//   - At a terminal: line editing, history, completion, and job control as in setpgid(2) and tcsetpgrp(3).
//   - As PID 1 it reaps orphans, because one reaper collects every child and hands each status to whom it belongs.
//
// The interpreter runs ( … ) in the foreground and $( … ) in this process, so $$ and ps don't show them as processes
// of their own. Of the descriptors from 3 on it has 3 to 9,
// and here documents go to descriptor 0 only. Read shell.go first, then execute.go and rewrite.go.
package shell
