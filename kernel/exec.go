// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Exec replaces the set-up process by the container's command (execve(2)). It is the last call of a
// container side.
type Exec struct {
	// Args is the command and its arguments; at least one. A name without a slash is looked up in
	// the PATH of Env, inside the container.
	Args []string
	// Env holds NAME=value pairs.
	Env []string
}

// String shows the command as a shell would take it.
func (e Exec) String() string { return "execute " + Quote(e.Args...) }

// Shell is the command itself, with its environment and no other.
func (e Exec) Shell() string {
	return "exec env -i " + Quote(append(append([]string{}, e.Env...), e.Args...)...)
}

// Assemble tries the paths in order, as execvp(3) does.
func (e Exec) Assemble(a *Assembler) { a.Exec(e.paths(), e.Args, e.Env) }

// defaultPath is where a command is looked for when the environment has no PATH, as execvp(3).
const defaultPath = "/bin:/usr/bin"

// paths returns where the command may be.
func (e Exec) paths() []string {
	if strings.Contains(e.Args[0], "/") || e.Args[0] == "" {
		return e.Args[:1]
	}
	search := defaultPath
	for _, pair := range e.Env {
		if value, ok := strings.CutPrefix(pair, "PATH="); ok {
			search = value
		}
	}
	var paths []string
	for dir := range strings.SplitSeq(search, ":") {
		if dir == "" {
			dir = "."
		}
		paths = append(paths, path.Join(dir, e.Args[0]))
	}
	return paths
}

// Find looks whether a command can be executed, as [Exec] would find it: in time for an error, where the execve itself
// comes much later (faccessat(2)).
type Find Exec

// String names the command.
func (f Find) String() string { return "look for the command " + Quote(f.Args[0]) }

// Shell is command -v.
func (f Find) Shell() string { return "command -v " + Quote(f.Args[0]) + " >/dev/null" }

// Assemble asks for one path after the other. The last one's error is the answer.
func (f Find) Assemble(a *Assembler) { findOne(a, Exec(f).paths()) }

// findOne asks for the first path, and for the others if it can't be executed.
func findOne(a *Assembler, paths []string) {
	ask := func() *Op { return a.Sys(unix.SYS_FACCESSAT, Int(unix.AT_FDCWD), Str(paths[0]), Int(unix.X_OK)) }
	if len(paths) == 1 {
		ask()
		return
	}
	a.Unless(ask().Ignore(unix.ENOENT, unix.ENOTDIR, unix.EACCES), func() { findOne(a, paths[1:]) })
}

// CloseDescriptors marks all descriptors above 2 close-on-exec, except the Keep that follow 2
// (close_range(2), Linux 5.11). Descriptors that the program keeps in slots work until the execve.
type CloseDescriptors struct{ Keep int }

// String says which descriptors the command will have.
func (c CloseDescriptors) String() string {
	return fmt.Sprintf("close all descriptors above %d at execve", 2+c.Keep)
}

// Shell is empty: a shell starts its commands with the descriptors it was given.
func (c CloseDescriptors) Shell() string { return "" }

// Assemble adds close_range.
func (c CloseDescriptors) Assemble(a *Assembler) { a.CloseAll(c.Keep) }

// CloseUnused closes all descriptors above 2, except the Keep that follow 2 and those in slots that the rest of the program
// uses (close_range(2), Linux 5.9): whoever may trace the process could take them.
type CloseUnused struct{ Keep int }

// String says what it does.
func (CloseUnused) String() string { return "close the descriptors that the rest does not need" }

// Shell is empty, as that of CloseDescriptors.
func (CloseUnused) Shell() string { return "" }

// Assemble adds the closing.
func (c CloseUnused) Assemble(a *Assembler) { a.CloseUnused(c.Keep) }

// ResetSignals gives every signal its default action and empties the signal mask: a container's
// first process must not inherit what its starter ignored (signal(7): ignored signals stay ignored
// over execve).
type ResetSignals struct{}

// String says what it does.
func (ResetSignals) String() string { return "reset all signals to their defaults" }

// Shell is empty: env --default-signal is newer than this needs to be.
func (ResetSignals) Shell() string { return "" }

// Assemble adds rt_sigaction for each signal that has an action, and rt_sigprocmask.
func (ResetSignals) Assemble(a *Assembler) {
	const sigsetSize = 8
	none := a.Reserve(64) // SIG_DFL, no flags, empty masks
	for signal := 1; signal <= 64; signal++ {
		if signal != int(unix.SIGKILL) && signal != int(unix.SIGSTOP) {
			a.Sys(unix.SYS_RT_SIGACTION, Int(signal), none, Int(0), Int(sigsetSize))
		}
	}
	a.Sys(unix.SYS_RT_SIGPROCMASK, Int(unix.SIG_SETMASK), none, Int(0), Int(sigsetSize))
}

// Announce tells the host that the set-up is all but done. It comes before a seccomp filter, which may
// forbid the write(2) by which [Exec] would say so.
type Announce struct{}

// String says what it does.
func (Announce) String() string { return "tell the host that execve comes next" }

// Shell is empty: a script has nobody to tell.
func (Announce) Shell() string { return "" }

// Assemble adds the message.
func (Announce) Assemble(a *Assembler) { a.add(opAnnounce, 0) }

// ParentDeath makes the kernel send Signal when the thread that started the program ends
// (PR_SET_PDEATHSIG, prctl(2)). The kernel forgets it when the process changes its credentials, so
// it comes after that.
type ParentDeath struct{ Signal unix.Signal }

// String names the signal.
func (p ParentDeath) String() string {
	return fmt.Sprintf("send %s when the parent ends", unix.SignalName(p.Signal))
}

// Shell is setpriv's option.
func (p ParentDeath) Shell() string {
	return "setpriv --pdeathsig " + strings.TrimPrefix(unix.SignalName(p.Signal), "SIG")
}

// Assemble adds the prctl. A parent that died before it is found out at the next message to it: the
// socket is broken, and SIGPIPE ends the process.
func (p ParentDeath) Assemble(a *Assembler) {
	a.Sys(unix.SYS_PRCTL, Int(unix.PR_SET_PDEATHSIG), Int(int(p.Signal)))
}

// Quote joins words so that a POSIX shell reads them back as they are.
func Quote(words ...string) string {
	quoted := make([]string, len(words))
	for i, w := range words {
		quoted[i] = quoteWord(w)
	}
	return strings.Join(quoted, " ")
}

// quoteWord quotes one word where it needs it.
func quoteWord(w string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-"
	if w != "" && strings.Trim(w, plain) == "" {
		return w
	}
	return "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
}
