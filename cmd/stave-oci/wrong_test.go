// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/internal/witness"
)

// pair is runc and stave-oci with containers of the same names in the same states, each below a root of its own.
type pair struct {
	roots map[string]string // by program
}

// newPair makes, with both programs, a container in each of some states, which is its name.
func newPair(t *testing.T, programs ...string) pair {
	t.Helper()
	p := pair{map[string]string{}}
	for _, program := range programs {
		p.roots[program] = folder(t)
		for _, status := range []string{"created", "running", "paused", "stopped"} {
			p.make(t, program, status)
		}
	}
	return p
}

// make makes one container with one program.
func (p pair) make(t *testing.T, program, status string) {
	t.Helper()
	dir := newBundle(t, "exec sleep 1000", limited, func(s *specs.Spec) { s.Version = "1.0.2" })
	write(t, dir, readSpec(t, dir), inGroup("/stave-test-"+filepath.Base(dir)))
	t.Cleanup(func() { p.must(t, program, "delete", "--force", status) })
	p.must(t, program, "create", "--bundle", dir, status)
	if status != "created" {
		p.must(t, program, "start", status)
	}
	switch status {
	case "paused":
		p.must(t, program, "pause", status)
	case "stopped":
		p.must(t, program, "kill", status, "KILL")
		witness.Until(t, "it has stopped", func() bool {
			return strings.Contains(p.run(t, program, "state", status).out, `"stopped"`)
		})
	}
}

// run runs a command of a program. Its streams are files: a container that it makes keeps them.
func (p pair) run(t *testing.T, program string, args ...string) result {
	t.Helper()
	dir := t.TempDir()
	c := exec.Command(program, append([]string{"--root", p.roots[program]}, args...)...)
	c.Dir = dir
	for name, stream := range map[string]*io.Writer{"out": &c.Stdout, "err": &c.Stderr} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		*stream = f
	}
	c.Run()
	out, _ := os.ReadFile(filepath.Join(dir, "out"))
	errs, _ := os.ReadFile(filepath.Join(dir, "err"))
	return result{string(out), string(errs), code(c)}
}

// must is run, for what has to succeed.
func (p pair) must(t *testing.T, program string, args ...string) {
	t.Helper()
	if got := p.run(t, program, args...); got.code != 0 {
		t.Fatalf("%s %v: exit code %d: %s", program, args, got.code, got.err)
	}
}

// wrong is a mistake, by the words that the message must have.
type wrong struct{ args, say string }

// mistakes are those on the command line, and of the wrong moment.
func mistakes() []wrong {
	list := []wrong{
		{args: "create --bundle BUNDLE running", say: "container with given ID already exists"},
		{args: "run --bundle BUNDLE stopped", say: "container with given ID already exists"},
		{args: "start running", say: "cannot start an already running container"},
		{args: "start stopped", say: "cannot start a container that has stopped"},
		{args: "start paused", say: "cannot start"},
		{args: "pause stopped", say: "container not running"},
		{args: "pause paused", say: "container not running"},
		{args: "resume running", say: "container not paused"},
		{args: "resume stopped", say: "container not paused"},
		{args: "kill stopped", say: "container not running"},
		{args: "kill running NOSIGNAL", say: "signal"},
		{args: "kill running 99", say: "signal"},
		{args: "delete running", say: "not stopped: running"},
		{args: "delete paused", say: "not stopped: paused"},
		{args: "exec stopped true", say: "stopped"},
		{args: "exec paused true", say: "paused"},
		{args: "update --memory 64m stopped", say: "container not running"},
		{args: "update --memory 1x running", say: "invalid"},
		{args: "update --resources EMPTY/nonexistent running", say: "no such file"},
		{args: "events stopped", say: "is not running"},
		{args: "events --stats stopped", say: "is not running"},
		{args: "events --interval 0s running", say: "above 0"},
		{args: "events --interval soon running", say: "soon"},
		{args: "ps --format xml running", say: "xml"},
		{args: "ps running -o comm", say: "PID"},
		{args: "list --format xml", say: "xml"},
		{args: "--log-format xml list", say: "xml"},
		{args: "--log EMPTY/nonexistent/log list", say: "nonexistent/log"},
		{args: "--nonsense list", say: "nonsense"},
		{args: "nonsense", say: "nonsense"},
		{args: "help nonsense", say: "nonsense"},
		{args: "create --bundle EMPTY/nonexistent new", say: "/nonexistent"},
		{args: "run --bundle EMPTY new", say: "config.json"},
		{args: "create --bundle NOROOT new", say: "root.path"},
		{args: "create --preserve-fds many --bundle BUNDLE new", say: "many"},
		{args: "--root /proc/nonexistent/x create --bundle BUNDLE new", say: "--root"},
		{args: "--root FILE create --bundle BUNDLE new", say: "--root"},
		{args: "--root FILE state new", say: "container does not exist"},
		{args: "spec x", say: "takes 0 arguments"},
		{args: "features x", say: "takes 0 arguments"},
		{args: "list x", say: "takes 0 arguments"},
	}
	for command := range strings.FieldsSeq("create start run state kill delete exec events pause resume ps update") {
		list = append(list,
			wrong{args: command, say: command}, // without the id
			wrong{args: command + " --nonsense running", say: "nonsense"})
	}
	for command := range strings.FieldsSeq("create start run state delete events pause resume update") {
		bundle := ""
		if command == "create" || command == "run" {
			bundle = " --bundle BUNDLE"
		}
		list = append(list, wrong{args: command + bundle + " running more", say: "takes 1 argument, 2 are given"})
	}
	return append(list, wrongNames()...)
}

// wrongNames are commands with the ids of no container, and with what is no id.
func wrongNames() (list []wrong) {
	for _, command := range []string{
		"start", "state", "kill", "kill --all", "delete", "events", "events --stats", "pause", "resume", "ps", "ps --format json", "update --memory 64m", "exec",
	} {
		for id, say := range map[string]string{"nobody": "container does not exist", "a/b": "container id", "..": "container id", ".": "container id", "../running": "container id", "a%20b": "container id"} {
			args := command + " " + id
			if command == "exec" {
				args += " true"
			}
			list = append(list, wrong{args: args, say: say})
		}
	}
	for _, id := range []string{"a/b", "..", "a%20b", "ä"} {
		list = append(list,
			wrong{args: "create --bundle BUNDLE " + id, say: "container id"}, wrong{args: "run --bundle BUNDLE " + id, say: "container id"})
	}
	return list
}

// TestMistakes makes every mistake with runc, where it is installed, and with stave-oci: the exit codes are the same, and
// the message of stave-oci is one line that says what is wrong, and is in the log once. Nothing changes.
func TestMistakes(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "command:ps")
	programs := []string{staveOCI}
	if _, err := exec.LookPath("runc"); err == nil && !testing.Short() { // the codes have little to do with the kernel
		programs = append(programs, "runc")
	}
	p := newPair(t, programs...)
	bundle, noRoot, empty := newBundle(t, "true", func(s *specs.Spec) { s.Version = "1.0.2" }), newBundle(t, "true"), folder(t)
	if err := os.RemoveAll(noRoot + "/rootfs"); err != nil {
		t.Fatal(err)
	}
	before := must(t, "--root", p.roots[staveOCI], "list", "--format", "json")
	words := strings.NewReplacer("BUNDLE", bundle, "NOROOT", noRoot, "EMPTY", empty, "FILE", bundle+"/config.json")
	file := filepath.Join(folder(t), "log")
	for _, c := range mistakes() {
		var args []string
		for word := range strings.FieldsSeq(words.Replace(c.args)) {
			args = append(args, strings.ReplaceAll(word, "%20", " "))
		}
		os.Remove(file)
		got := p.run(t, staveOCI, append([]string{"--log", file}, args...)...)
		want := got.code // any but 0
		if len(programs) > 1 {
			want = p.run(t, "runc", args...).code
		}
		if got.code != want || want == 0 {
			t.Errorf("%s: exit code %d, want %d: %s", c.args, got.code, want, got.err)
		}
		if !strings.Contains(got.err, c.say) || strings.Count(got.err, "\n") != 1 && !strings.Contains(got.err, "ps(1)") || got.out != "" {
			t.Errorf("%s: it says %q%q, want %q", c.args, got.out, got.err, c.say)
		}
		text, _ := os.ReadFile(file)
		if strings.Count(string(text), "level=error") != 1 && !strings.HasPrefix(c.args, "--log") {
			t.Errorf("%s: the log has %q", c.args, text)
		}
	}
	if after := must(t, "--root", p.roots[staveOCI], "list", "--format", "json"); after != before {
		t.Errorf("the containers were\n%sand are\n%s", before, after)
	}
}

// TestBrokenFolders breaks what is kept of a container: each command fails as runc's does, with a message that says how to go
// on; list goes on, and delete --force removes the container with its processes and its cgroup.
func TestBrokenFolders(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	for name, broken := range map[string]struct{ file, text string }{
		"half a state":      {"state.json", `{"ociVersion":"1.0.2","id":"sta`},
		"empty state":       {"state.json", ""},
		"a list":            {"state.json", "[]\n"},
		"another container": {"state.json", `{"id":"other","created":"2024-01-01T00:00:00Z","cgroup":{"Folders":[{"Path":"/nonexistent/stave-test-other"}]}}`},
		"no state":          {"state.json", "REMOVE"},
		"empty pid file":    {"pid", ""},
		"half a pid file":   {"pid", "12"},
		"words as pid":      {"pid", "one two"},
		"no pid file":       {"pid", "REMOVE"},
	} {
		for _, path := range []string{"", groupName(t) + "/one"} {
			if testing.Short() && (path == "") != (broken.file == "pid") {
				continue
			}
			t.Run(name+path, func(t *testing.T) {
				k := sleeper(t, limited, inGroup(path))
				group := "/" + k.id
				if path != "" {
					group = path
					defer removeGroups(t, filepath.Dir(path)) // where it was made for this container is not known any more
				}
				if len(members(t, group)) == 0 {
					t.Fatalf("the container is not in %s", group)
				}
				breakFolder(t, filepath.Join(root, k.id), broken.file, strings.ReplaceAll(broken.text, "ID", k.id))
				if name == "no pid file" { // it looks like one whose creation was interrupted
					if s := k.state(t); s.Status != "stopped" || s.Pid != 0 {
						t.Errorf("the state is %+v", s)
					}
				} else {
					checkBroken(t, k.id, broken.file)
				}
				must(t, "delete", "--force", k.id)
				if left := groupsNamed(t, group); len(left) > 0 {
					t.Errorf("left are the cgroups %q", left)
				}
				if program(k.pid) != "" {
					t.Errorf("process %d still runs %s", k.pid, program(k.pid))
				}
				if _, err := os.Stat(filepath.Join(root, k.id)); !os.IsNotExist(err) {
					t.Errorf("the folder is there: %v", err)
				}
			})
		}
	}
}

// removeGroups removes empty cgroups of a name.
func removeGroups(t *testing.T, name string) {
	t.Helper()
	for _, dir := range groupsNamed(t, name) {
		if err := os.Remove(dir); err != nil {
			t.Error(err)
		}
	}
}

// breakFolder writes a text into a file of a container's folder, or removes the file.
func breakFolder(t *testing.T, dir, file, text string) {
	t.Helper()
	name := filepath.Join(dir, file)
	if text != "REMOVE" {
		put(t, name, text, 0o644)
	} else if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
}

// checkBroken runs every command on a container whose state can't be read.
func checkBroken(t *testing.T, id, file string) {
	t.Helper()
	for _, args := range []string{
		"state ID", "start ID", "kill ID", "delete ID", "pause ID", "resume ID", "ps ID", "events ID", "events --stats ID", "update --memory 1g ID", "exec ID true",
	} {
		got := do(t, strings.Fields(strings.ReplaceAll(args, "ID", id))...)
		switch {
		case strings.HasPrefix(args, "ps") && file == "pid": // for this the cgroup is enough
		case got.code != 1 && (got.code != 255 || !strings.HasPrefix(args, "exec")):
			t.Errorf("%s: exit code %d", args, got.code)
		case !strings.Contains(got.err, "stave-oci delete --force "+id+" removes"):
			t.Errorf("%s: it says %q", args, got.err)
		}
	}
	if got := do(t, "list", "--quiet"); got.code != 0 || !strings.Contains(got.out, id) {
		t.Errorf("list: exit code %d, %q, %s", got.code, got.out, got.err)
	}
}
