// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The names of what is timed of images.
const (
	stavePull    = "stave pull"
	stavePacked  = "stave pull --unpack=false"
	staveUnpack  = "stave pull, only unpacks"
	staveImages  = "stave images"
	umociUnpack  = "umoci raw unpack"
	podmanPull   = "podman pull"
	podmanUnpack = "podman pull oci:"
	skopeoCopy   = "skopeo copy to oci:"
)

// task is one command about images that is timed.
type task struct {
	subject
	env    []string
	fresh  string       // the folder where it writes, removed before each run
	before func() error // makes what must be there already
}

// imageBench is all that is timed of images, and where.
type imageBench struct {
	dir     string // for what the tasks write
	image   string // the image as a layout
	errors  *os.File
	view    *view
	server  *server // nil if there is none
	tasks   []*task
	program string // stave
}

// newImageBench makes, in cache, the image and what a registry has of it, unless they are there, and starts a registry.
func newImageBench(ctx context.Context, out io.Writer, dir, cache, bin string, s shape) (b *imageBench, err error) {
	b = &imageBench{dir: dir, image: filepath.Join(cache, "image"), program: filepath.Join(bin, "stave")}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return nil, err
	}
	if err := makeImage(ctx, b.image, s); err != nil {
		return nil, err
	}
	if b.errors, err = os.Create(filepath.Join(dir, "stderr")); err != nil {
		return nil, err
	}
	if b.view, err = newView(dir, nil); err != nil {
		b.errors.Close()
		return nil, err
	}
	inputs := []string{b.image}
	if b.server, err = serve(ctx, b.view, dir, filepath.Join(cache, "registry")); err != nil {
		fmt.Fprintf(out, "left out: all that pulls: %v\n", err)
	} else if err = b.server.fill(ctx, b.image); err != nil {
		return nil, errors.Join(err, b.close())
	} else {
		inputs = append(inputs, filepath.Join(cache, "registry"))
	}
	if err := makeMany(ctx, filepath.Join(dir, "many"), manyImages); err != nil {
		return nil, errors.Join(err, b.close())
	}
	b.tasks = b.candidates()
	return b, warm(inputs...)
}

// close ends the registry, and lets go of the view and the file.
func (b *imageBench) close() error {
	if b.server != nil {
		b.server.close()
	}
	b.view.close()
	return b.errors.Close()
}

// at is a folder of a task.
func (b *imageBench) at(name string) string { return filepath.Join(b.dir, name) }

// candidates are the commands that would be timed. Each has folders of its own.
func (b *imageBench) candidates() []*task {
	podman := []string{"podman", "--root", b.at("podman"), "--runroot", b.at("podman-run"), "--storage-driver", "overlay"}
	list := []*task{
		{subject: subject{name: umociUnpack, args: []string{"umoci", "raw", "unpack", "--image", b.image + ":" + imageName, b.at("umoci")}}, fresh: b.at("umoci")},
		{subject: subject{name: podmanUnpack, args: append(slices.Clone(podman), "pull", "--quiet", "oci:"+b.image+":"+imageName)}, fresh: b.at("podman")},
		b.stave(staveImages, "many", "", "images"),
	}
	if b.server == nil {
		return list
	}
	name := b.server.name()
	unpack := b.stave(staveUnpack, "unpacked", "layers", "pull", "--quiet", name)
	unpack.before = func() error {
		if _, err := os.Stat(b.at("unpacked")); err == nil {
			return nil
		}
		c := b.command(b.stave("", "unpacked", "", "pull", "--quiet", "--unpack=false", name))
		return c.Run()
	}
	return append([]*task{
		unpack,
		b.stave(stavePacked, "packed", ".", "pull", "--quiet", "--unpack=false", name),
		{
			subject: subject{name: skopeoCopy, args: []string{"skopeo", "copy", "--quiet", "--src-tls-verify=false", "docker://" + name, "oci:" + b.at("skopeo") + ":1"}},
			fresh:   b.at("skopeo"),
		},
		b.stave(stavePull, "pulled", ".", "pull", "--quiet", name),
		{subject: subject{name: podmanPull, args: append(slices.Clone(podman), "pull", "--quiet", "--tls-verify=false", "docker://"+name)}, fresh: b.at("podman")},
	}, list...)
}

// stave is a task of stave with a state folder. Before it, the folder fresh below that is removed; "" means nothing.
func (b *imageBench) stave(name, state, fresh string, args ...string) *task {
	t := &task{subject: subject{name: name, args: append([]string{b.program}, args...)}, env: []string{"STAVE_STATE=" + b.at(state)}}
	if fresh != "" {
		t.fresh = filepath.Join(b.at(state), fresh)
	}
	return t
}

// command returns a task's command ready to start.
func (b *imageBench) command(t *task) *exec.Cmd {
	c := (&bench{bundle: b.dir, errors: b.errors}).command(t.args)
	c.Env = append(append(c.Env, "HOME="+b.dir, "TMPDIR="+b.dir), t.env...)
	return c
}

// time runs a task once, having removed what it wrote the last time and waited until the disk has all.
func (b *imageBench) time(t *task) (taken sample, err error) {
	if t.before != nil {
		if err := t.before(); err != nil {
			return sample{}, b.explain(t, err)
		}
	}
	if t.fresh != "" {
		if err := os.RemoveAll(t.fresh); err != nil {
			return sample{}, err
		}
	}
	if err := b.errors.Truncate(0); err != nil {
		return sample{}, err
	}
	if err := settle(b.dir); err != nil {
		return sample{}, err
	}
	b.view.do(func() { taken, err = once(b.command(t)) })
	return taken, b.explain(t, err)
}

// explain adds to an error what the program wrote.
func (b *imageBench) explain(t *task, err error) error {
	if err == nil {
		return nil
	}
	text := make([]byte, 2000)
	n, _ := b.errors.ReadAt(text, 0)
	return fmt.Errorf("%s: %w: %s", t.name, err, strings.TrimSpace(string(text[:n])))
}

// choose leaves out, with a word, what is not installed or fails.
func (b *imageBench) choose(out io.Writer) {
	b.tasks = slices.DeleteFunc(b.tasks, func(t *task) bool {
		path, err := exec.LookPath(t.args[0])
		if err != nil {
			fmt.Fprintf(out, "left out: %s: there is no %s\n", t.name, t.args[0])
			return true
		}
		t.args[0] = path
		if _, err = b.time(t); err != nil {
			fmt.Fprintln(out, "left out:", err)
		}
		return err != nil
	})
}

// measure runs all tasks in turn. A signal ends it between two runs.
func (b *imageBench) measure(ctx context.Context, rounds int) error {
	for range rounds {
		for _, t := range b.tasks {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			taken, err := b.time(t)
			if err != nil {
				return err
			}
			t.samples = append(t.samples, taken)
		}
	}
	return nil
}
