// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The names of the programs in the table.
const (
	nameStave   = "stave-oci run"
	nameRunc    = "runc run"
	nameCrun    = "crun run"
	nameUnshare = "unshare"
	limited     = ", limited" // after the name of a runtime: the bundle with limits
	cycle       = " create+start+delete"
	inside      = " exec"
)

// subject is one program that is timed.
type subject struct {
	name    string
	args    []string // the program and its arguments
	view    *view    // nil: in the machine's own mount namespace
	samples []sample

	// With runtime, which is a program with its options, what is timed happens to a container of its own: either all
	// that is done to one (cycle), or args, which run inside one that runs already.
	runtime []string
	cycle   bool
	id      string
}

// bench is all that is timed, and where.
type bench struct {
	dir         string // for temporary files
	bin, bundle string
	limited     string // the bundle with limits
	idle        string // the bundle whose command waits
	running     []*container
	errors      *os.File // standard error of the programs
	plain, v1   *view
	subjects    []*subject
}

// newBench makes the bundle in dir. bin is the folder of stave's programs.
func newBench(dir, bin string) (*bench, error) {
	b := &bench{dir: dir, bin: bin}
	b.bundle, b.limited, b.idle = filepath.Join(dir, "bundle"), filepath.Join(dir, "limited"), filepath.Join(dir, "idle")
	if err := makeBundle(b.bundle, filepath.Join(bin, "stave-oci")); err != nil {
		return nil, err
	}
	if err := makeLimited(b.limited, b.bundle); err != nil {
		return nil, err
	}
	if err := makeIdle(b.idle, b.bundle); err != nil {
		return nil, err
	}
	var err error
	if b.errors, err = os.Create(filepath.Join(dir, "stderr")); err != nil {
		return nil, err
	}
	if b.plain, b.v1, err = newViews(filepath.Join(dir, "view")); err != nil {
		b.errors.Close()
		return nil, err
	}
	b.subjects = b.candidates()
	return b, nil
}

// close ends what runs, and lets go of the view and the file.
func (b *bench) close() {
	b.end()
	b.plain.close()
	if b.v1 != b.plain {
		b.v1.close()
	}
	b.errors.Close()
}

// candidates are the programs that would be timed, from the least to the most. With limits all three runtimes are in crun's
// view, so that they make cgroups in the same hierarchies.
func (b *bench) candidates() []*subject {
	id := fmt.Sprintf("stave-bench-%d", os.Getpid())
	command := filepath.Join(b.bundle, "rootfs", "bin", "true")
	oci, crun, runc := []string{filepath.Join(b.bin, "stave-oci")}, []string{"crun"}, []string{"runc"}
	run := func(runtime []string, bundle string) []string {
		return slices.Concat(runtime, []string{"run", "--bundle", bundle, id})
	}
	unshare := []string{"unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", command}
	all := func(name string, runtime []string, v *view) *subject {
		return &subject{name: name + cycle, args: runtime, runtime: runtime, cycle: true, view: v, id: id}
	}
	within := func(name string, runtime []string, v *view) *subject {
		id := id + "-" + name
		args := slices.Concat(runtime, []string{"exec", id, "/bin/true"})
		return &subject{name: name + inside, args: args, runtime: runtime, view: v, id: id}
	}
	return []*subject{
		{name: "fork and exec", args: []string{command}},
		{name: "stave-oci --version", args: []string{oci[0], "--version"}},
		{name: nameUnshare, args: unshare},
		{name: nameStave, args: run(oci, b.bundle), view: b.plain},
		{name: nameCrun, args: run(crun, b.bundle), view: b.v1},
		{name: nameRunc, args: run(runc, b.bundle), view: b.plain},
		{name: nameStave + limited, args: run(oci, b.limited), view: b.v1},
		{name: nameCrun + limited, args: run(crun, b.limited), view: b.v1},
		{name: nameRunc + limited, args: run(runc, b.limited), view: b.v1},
		all("stave-oci", oci, b.plain), all("crun", crun, b.v1), all("runc", runc, b.plain),
		within("stave-oci", oci, b.plain), within("crun", crun, b.v1), within("runc", runc, b.plain),
		{name: "stave run", args: []string{filepath.Join(b.bin, "stave"), "run", "lab", "true"}},
	}
}

// choose runs each program once, and says and leaves out what is missing or fails. It also warms the
// caches.
func (b *bench) choose(out io.Writer) {
	b.subjects = slices.DeleteFunc(b.subjects, func(s *subject) bool {
		path, err := exec.LookPath(s.args[0])
		if err != nil {
			fmt.Fprintf(out, "left out: %s: there is no %s\n", s.name, s.args[0])
			return true
		}
		s.args[0] = path
		if s.runtime != nil && !s.cycle {
			err = b.begin(s)
		}
		if err != nil {
			fmt.Fprintln(out, "left out:", err)
			return true
		}
		if _, err := b.time(s); err != nil {
			fmt.Fprintln(out, "left out:", err)
			return true
		}
		return false
	})
}

// measure runs all programs in turn. A signal ends it between two runs.
func (b *bench) measure(ctx context.Context, rounds int) error {
	for range rounds {
		for _, s := range b.subjects {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			taken, err := b.time(s)
			if err != nil {
				return err
			}
			s.samples = append(s.samples, taken)
		}
	}
	return nil
}

// sizes prints how large stave's programs are.
func (b *bench) sizes() string {
	var out strings.Builder
	for _, name := range []string{"stave-oci", "stave"} {
		if info, err := os.Stat(filepath.Join(b.bin, name)); err == nil {
			fmt.Fprintf(&out, "%-34s%10.2f MB\n", "size of "+name, float64(info.Size())/1e6)
		}
	}
	return out.String()
}
