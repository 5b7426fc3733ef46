// SPDX-License-Identifier: Apache-2.0

package toolbox

import (
	"slices"
	"strings"

	"stave/toolbox/files"
	"stave/toolbox/network"
	"stave/toolbox/shell"
	"stave/toolbox/system"
	"stave/toolbox/text"
	"stave/toolbox/tool"
)

// Tool is one tool: its name, what it takes, one line of help, and the function that is the tool.
type Tool struct {
	Name          string
	Synopsis      string
	Help          string
	Run           tool.Func
	takesAnything bool // --help is an argument like any other
}

// Tools returns all tools, by name.
func Tools() []Tool {
	tools := slices.Concat(fileTools(), textTools(), systemTools())
	slices.SortFunc(tools, func(a, b Tool) int { return strings.Compare(a.Name, b.Name) })
	return tools
}

// fileTools returns the tools that make, change and list files.
func fileTools() []Tool {
	return []Tool{
		{"chmod", "[-R] MODE FILE...", "change who may read, write and execute files", files.Chmod, false},
		{"chown", "[-R] USER[:GROUP] FILE...", "change whose files are", files.Chown, false},
		{"cp", "[-afprPLv] SOURCE... TARGET", "copy files", files.Cp, false},
		{"dd", "[if=FILE] [of=FILE] [bs=SIZE] [count=N] [skip=N] [seek=N] [conv=notrunc,fsync]", "copy blocks", files.Dd, false},
		{"df", "[-hiTa] [FILE...]", "show how full file systems are", files.Df, false},
		{"du", "[-shac] [FILE...]", "show how much space files take", files.Du, false},
		{"find", "[PATH...] [-name GLOB] [-type L] [-exec CMD {} ;] ...", "walk folders and pick files", files.Find, false},
		{"gunzip", "[-ckf] [FILE...]", "expand what gzip made", files.Gzip, false},
		{"gzip", "[-cdkf] [FILE...]", "compress files", files.Gzip, false},
		{"ln", "[-sfn] TARGET [LINK]", "make a link", files.Ln, false},
		{"ls", "[-aAdFhilnRrSt1] [FILE...]", "list files", files.Ls, false},
		{"mkdir", "[-p] [-m MODE] FOLDER...", "make folders", files.Mkdir, false},
		{"mktemp", "[-d] [-p FOLDER] [TEMPLATE]", "make a file of a new name", files.Mktemp, false},
		{"mknod", "[-m MODE] NAME b|c|p [MAJOR MINOR]", "make a device node or a named pipe", files.Mknod, false},
		{"mv", "[-fnv] SOURCE... TARGET", "move files", files.Mv, false},
		{"pwd", "", "print the working folder", files.Pwd, false},
		{"readlink", "[-fn] FILE...", "print where links point", files.Readlink, false},
		{"rm", "[-rfv] FILE...", "remove files", files.Rm, false},
		{"rmdir", "[-p] FOLDER...", "remove empty folders", files.Rmdir, false},
		{"sha256sum", "[-c] [FILE...]", "print or check SHA-256 sums", files.Sha256sum, false},
		{"stat", "[-Lf] [-c FORMAT] FILE...", "show what the kernel knows about files", files.Stat, false},
		{"tar", "-c|-x|-t [-vzO] [-f FILE] [-C FOLDER] [NAME...]", "pack and unpack archives", files.Tar, false},
		{"touch", "[-acm] [-d TIME | -r FILE] FILE...", "make files, or set their times", files.Touch, false},
		{"zcat", "[FILE...]", "print what gzip made", files.Gzip, false},
	}
}

// textTools returns the tools that read and write text.
func textTools() []Tool {
	return []Tool{
		{"[", "EXPRESSION ]", "evaluate an expression, as test does", text.Test, true},
		{"basename", "PATH [SUFFIX]", "print the last part of a path", text.Basename, false},
		{"cat", "[-n] [FILE...]", "copy files to standard output", text.Cat, false},
		{"cmp", "[-s] A B", "compare two files", text.Cmp, false},
		{"cut", "-f LIST [-d C] [-s] | -c LIST [FILE...]", "print parts of lines", text.Cut, false},
		{"dirname", "PATH", "print a path without its last part", text.Dirname, false},
		{"echo", "[-ne] [WORD...]", "print words", text.Echo, true},
		{"false", "", "do nothing, unsuccessfully", text.False, false},
		{"grep", "[-EFivcnqrolwxHhs] [-m N] PATTERN [FILE...]", "print the lines that match", text.Grep, false},
		{"head", "[-n N | -c N] [-q] [FILE...]", "print the beginning of files", text.Head, false},
		{"printf", "FORMAT [ARG...]", "print by a format", text.Printf, true},
		{"sed", "[-nE] [-e] s/RE/TEXT/[g]|Np [FILE...]", "substitute text (s/RE/TEXT/[g]) or print a line (Np); no other command", text.Sed, false},
		{"seq", "[FIRST [STEP]] LAST", "print numbers", text.Seq, false},
		{"sort", "[-nrus] [-t C] [-k KEY] [-o FILE] [FILE...]", "sort lines", text.Sort, false},
		{"tail", "[-n N | -c N] [-fq] [FILE...]", "print the end of files", text.Tail, false},
		{"tee", "[-a] [FILE...]", "copy standard input to files too", text.Tee, false},
		{"test", "EXPRESSION", "evaluate an expression", text.Test, true},
		{"tr", "[-cds] SET1 [SET2]", "change, drop or squeeze bytes", text.Tr, false},
		{"true", "", "do nothing, successfully", text.True, false},
		{"uniq", "[-cdu] [FILE]", "drop lines that repeat", text.Uniq, false},
		{"wc", "[-lwc] [FILE...]", "count lines, words and bytes", text.Wc, false},
		{"yes", "[WORD...]", "print a word over and over", text.Yes, false},
		{"xargs", "[-0rt] [-n N] [-I TEXT] [COMMAND [ARG...]]", "run a command with the words of standard input", text.Xargs, false},
	}
}

// systemTools returns the shell, and the tools for processes, mounts and the network.
func systemTools() []Tool {
	return []Tool{
		{"sh", "[-elux] [-c COMMAND [NAME]] [FILE] [ARG...]", "the shell, of POSIX syntax", shell.Main, false},
		{"clear", "", "empty the screen", system.Clear, false},
		{"chroot", "FOLDER [COMMAND [ARG...]]", "run a command with another root folder", system.Chroot, false},
		{"date", "[-uI] [-d TIME] [-s TIME] [+FORMAT]", "print or set the time", system.Date, false},
		{"env", "[-i] [-u NAME] [NAME=VALUE...] [COMMAND [ARG...]]", "print or change the environment", system.Env, false},
		{"free", "[-bkmgh]", "show the memory of the machine", system.Free, false},
		{"hog", "mem SIZE [--hold TIME] | cpu [N] [--for TIME]", "use memory or CPU, to meet a limit", system.Hog, false},
		{"hostname", "[NAME]", "print or set the host name", system.Hostname, false},
		{"id", "[-ugGn] [USER]", "show who one is", system.ID, false},
		{"kill", "[-SIGNAL] PID... | -l [NUMBER]", "send a signal", system.Kill, false},
		{"mount", "[-t TYPE] [-o OPTION,...] [--bind|--rbind|--make-private...] SOURCE TARGET", "mount, or list mounts", system.Mount, false},
		{"nohup", "COMMAND [ARG...]", "run a command that survives its terminal", system.Nohup, false},
		{"nproc", "[--all]", "print the number of CPUs one may use", system.Nproc, false},
		{"nsenter", "-t PID [-muinpCa] [COMMAND [ARG...]]", "run a command in the namespaces of a process", system.Nsenter, false},
		{"ps", "[aux | -ef | -o COLUMN,...] [-p PID]", "list processes", system.Ps, false},
		{"sleep", "TIME...", "wait", system.Sleep, false},
		{"stty", "[size | -a | sane | [-]echo]", "show or set a few modes of the terminal", system.Stty, false},
		{"tty", "", "print the file of the terminal", system.Tty, false},
		{"timeout", "[-s SIGNAL] TIME COMMAND [ARG...]", "end a command after a time", system.Timeout, false},
		{"umount", "[-lfR] TARGET...", "unmount", system.Umount, false},
		{"uname", "[-asnrvm]", "show the kernel's name and version", system.Uname, false},
		{"unshare", "[-muinpUCrf] [--mount-proc] [COMMAND [ARG...]]", "run a command in new namespaces", system.Unshare, false},
		{"uptime", "", "show how long the machine runs", system.Uptime, false},
		{"which", "NAME...", "print the files of commands", system.Which, false},
		{"whoami", "", "print one's name", system.Whoami, false},
		{"httpd", "[-fv] [-p [HOST:]PORT] [-h FOLDER]", "serve a folder over HTTP, in the foreground", network.Httpd, false},
		{"ip", "[-br] [-o] [-4|-6] link|addr|route|neigh [show|add|del|set] ...", "show and change the network", network.IP, false},
		{"nc", "[-uUvzk] [-w SECONDS] HOST PORT | -l -p PORT", "join standard input and output with a connection", network.Nc, false},
		{"ping", "[-c N] [-i TIME] [-W TIME] [-s SIZE] [-46q] HOST", "ask a host for answers", network.Ping, false},
		{"wget", "[-qS] [-O FILE] [-T SECONDS] [--header LINE] [--post-data TEXT] URL", "fetch a file over HTTP", network.Wget, false},
	}
}

// Names is the names of all tools.
func Names() []string {
	var names []string
	for _, t := range Tools() {
		names = append(names, t.Name)
	}
	return names
}

// Find is the tool of a name. The second half of unshare is found, but not listed: nobody calls it by hand.
func Find(name string) (Tool, bool) {
	if name == "stave-unshared" {
		return Tool{Name: name, Run: system.Unshared, takesAnything: true}, true
	}
	for _, t := range Tools() {
		if t.Name == name {
			return t, true
		}
	}
	return Tool{}, false
}
