// SPDX-License-Identifier: Apache-2.0

package drivertest

import (
	"archive/tar"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"stave/unionfs"
)

// base is a layer with some of everything.
func (w *world) base() unionfs.Layer {
	w.Helper()
	dir, file := byte(tar.TypeDir), byte(tar.TypeReg)
	headers := []tar.Header{
		{Name: "./", Typeflag: dir, Mode: 0o751},
		{Name: "bin/", Typeflag: dir, Mode: 0o755},
		{Name: "bin/su", Typeflag: file, Mode: 0o4755},
		{Name: "etc/", Typeflag: dir, Mode: 0o755},
		{Name: "etc/passwd", Typeflag: file, Mode: 0o644},
		{Name: "etc/link", Typeflag: tar.TypeSymlink, Linkname: "passwd", Mode: 0o777},
		{Name: "etc/deep/", Typeflag: dir, Mode: 0o700},
		{Name: "etc/deep/er/", Typeflag: dir, Mode: 0o755},
		{Name: "etc/deep/er/file", Typeflag: file, Mode: 0o600},
		{Name: "tmp/", Typeflag: dir, Mode: 0o1777},
		{Name: "one", Typeflag: file, Mode: 0o640, PAXRecords: map[string]string{"SCHILY.xattr.user.colour": "blue"}},
		{Name: "two", Typeflag: tar.TypeLink, Linkname: "one", Mode: 0o640},
	}
	if !w.Layer.SkipOwners {
		headers[4].Uid, headers[4].Gid = 12, 34
		headers = append(headers, tar.Header{Name: "fifo", Typeflag: tar.TypeFifo, Mode: 0o622, Uid: 1})
	}
	if !w.Layer.SkipDevices {
		headers = append(headers, tar.Header{Name: "null", Typeflag: tar.TypeChar, Mode: 0o666, Devmajor: 1, Devminor: 3})
	}
	return w.unpack(nil, w.archive(headers...))
}

// second deletes and replaces what base has.
func (w *world) second(below unionfs.Layer) unionfs.Layer {
	w.Helper()
	dir, file := byte(tar.TypeDir), byte(tar.TypeReg)
	return w.unpack([]unionfs.Layer{below}, w.archive(
		tar.Header{Name: "./", Typeflag: dir, Mode: 0o755},
		tar.Header{Name: "bin", Typeflag: file, Mode: 0o755},
		tar.Header{Name: "etc/", Typeflag: dir, Mode: 0o755},
		tar.Header{Name: "etc/.wh.link", Typeflag: file},
		tar.Header{Name: "etc/deep/", Typeflag: dir, Mode: 0o711},
		tar.Header{Name: "etc/deep/.wh..wh..opq", Typeflag: file},
		tar.Header{Name: "etc/deep/new", Typeflag: file, Mode: 0o644},
		tar.Header{Name: "nothing/.wh.here", Typeflag: file},
	))
}

// testOperations does single operations to an image's files, each in a container of its own, and holds the result against the same in
// a plain directory; then against the same as a layer of an image.
func testOperations(t *testing.T, s Suite) {
	w := newWorld(t, s)
	base := w.base()
	for name, list := range map[string][]Operation{
		"nothing":                        nil,
		"write over":                     {{Verb: "write", Path: "etc/passwd", To: "new"}},
		"append":                         {{Verb: "append", Path: "etc/passwd", To: "more"}},
		"truncate":                       {{Verb: "truncate", Path: "etc/passwd", N: 3}},
		"write through a link":           {{Verb: "write", Path: "etc/link", To: "new"}},
		"new file":                       {{Verb: "write", Path: "etc/deep/er/new", To: "new"}},
		"delete":                         {{Verb: "unlink", Path: "etc/passwd"}},
		"delete and make":                {{Verb: "unlink", Path: "etc/passwd"}, {Verb: "write", Path: "etc/passwd", To: "x"}},
		"delete a link":                  {{Verb: "unlink", Path: "etc/link"}},
		"delete a folder":                {{Verb: "remove", Path: "etc"}},
		"folder made anew":               {{Verb: "remove", Path: "etc"}, {Verb: "mkdir", Path: "etc"}, {Verb: "write", Path: "etc/only", To: "x"}},
		"folder by file":                 {{Verb: "remove", Path: "etc"}, {Verb: "write", Path: "etc", To: "x"}},
		"file by folder":                 {{Verb: "unlink", Path: "etc/passwd"}, {Verb: "mkdir", Path: "etc/passwd"}, {Verb: "write", Path: "etc/passwd/x", To: "x"}},
		"file by link":                   {{Verb: "unlink", Path: "etc/passwd"}, {Verb: "symlink", Path: "etc/passwd", To: "elsewhere"}},
		"rename a file":                  {{Verb: "rename", Path: "etc/passwd", To: "etc/shadow"}},
		"rename over":                    {{Verb: "rename", Path: "etc/passwd", To: "bin/su"}},
		"rename a new folder":            {{Verb: "mkdir", Path: "a"}, {Verb: "write", Path: "a/x", To: "x"}, {Verb: "rename", Path: "a", To: "b"}},
		"new folder over an empty one":   {{Verb: "remove", Path: "etc/deep"}, {Verb: "mkdir", Path: "a"}, {Verb: "write", Path: "a/x", To: "x"}, {Verb: "rename", Path: "a", To: "tmp"}},
		"second name":                    {{Verb: "link", Path: "etc/passwd", To: "etc/pw"}},
		"second name, written":           {{Verb: "link", Path: "etc/passwd", To: "etc/pw"}, {Verb: "append", Path: "etc/pw", To: "x"}},
		"second name, first gone":        {{Verb: "link", Path: "etc/passwd", To: "etc/pw"}, {Verb: "unlink", Path: "etc/passwd"}},
		"two new names":                  {{Verb: "write", Path: "a", To: "x"}, {Verb: "link", Path: "a", To: "b"}},
		"mode":                           {{Verb: "chmod", Path: "etc/passwd", N: 0o600}},
		"mode of a folder":               {{Verb: "chmod", Path: "etc", N: 0o1770}},
		"mode of the root":               {{Verb: "chmod", Path: ".", N: 0o700}},
		"times":                          {{Verb: "touch", Path: "etc/passwd", N: 5}, {Verb: "touch", Path: "etc/deep", N: 6}, {Verb: "touch", Path: "etc/link", N: 7}},
		"attribute":                      {{Verb: "setxattr", Path: "etc/passwd", To: "user.x", N: 5}},
		"attribute of a folder":          {{Verb: "setxattr", Path: "etc/deep", To: "user.x", N: 5}},
		"write with the time it had":     {{Verb: "change", Path: "etc/passwd", To: "x"}, {Verb: "touch", Path: "etc/passwd", N: 8760}},
		"delete all":                     {{Verb: "remove", Path: "etc"}, {Verb: "remove", Path: "bin"}, {Verb: "remove", Path: "tmp"}, {Verb: "remove", Path: "one"}, {Verb: "remove", Path: "two"}},
		"names like overlay's and OCI's": {{Verb: "write", Path: "wh.x", To: "x"}, {Verb: "mkdir", Path: ".whx"}},
	} {
		t.Run(name, func(t *testing.T) { w.in(t).checkOperations(base, list) })
	}
	t.Run("as root", func(t *testing.T) {
		if s.Layer.SkipOwners {
			t.Skip("not of this one: an ordinary user has one identity and makes no devices")
		}
		w.in(t).checkOperations(base, []Operation{
			{Verb: "chown", Path: "etc/passwd", N: 77},
			{Verb: "chown", Path: "etc/link", N: 78},
			{Verb: "chown", Path: "etc/deep", N: 79},
			{Verb: "device", Path: "zero", N: 5},
			{Verb: "unlink", Path: "null"},
			{Verb: "fifo", Path: "pipe"},
			{Verb: "unlink", Path: "fifo"},
			{Verb: "setxattr", Path: "etc/passwd", To: "trusted.x", N: 1},
		})
	})
}

// checkOperations does operations to a container of one layer and to a plain directory.
func (w *world) checkOperations(base unionfs.Layer, list []Operation) {
	w.Helper()
	c := w.container(base)
	model := filepath.Join(w.dir, fmt.Sprint("model", *w.count))
	command(w, "cp", "-a", "--", base.Path, model) // no code of ours has a part in it
	w.within(c, func(root string) {
		w.equal("before", Look(w, model, true), Look(w, root, true))
		for _, o := range list {
			if err := o.Do(root); err != nil {
				w.Errorf("%s: %v", o, err)
			}
			if err := o.Do(model); err != nil {
				w.Errorf("%s in the model: %v", o, err)
			}
		}
		w.equal("after", Look(w, model, false), Look(w, root, false))
	})
	w.committed(c)
}

// committed checks that a view shows a container's root as an image made of it does.
func (w *world) committed(c unionfs.Stack) []unionfs.Layer {
	w.Helper()
	layers := w.commit(c)
	var before Snapshot
	w.viewed(c, func(root string) { before = Look(w, root, true) })
	image := w.container(layers...)
	w.within(image, func(root string) {
		after := Look(w, root, true)
		after["."], before["."] = coarseTime.ReplaceAllString(after["."], "$1"), coarseTime.ReplaceAllString(before["."], "$1")
		w.equal("as an image", before, after)
	})
	return layers
}

// testReadOnly checks that nobody writes to a read-only root, of no, one and two layers, and that whiteouts show in none.
func testReadOnly(t *testing.T, s Suite) {
	w := newWorld(t, s)
	base := w.base()
	for name, c := range map[string]struct {
		layers []unionfs.Layer
		names  []string
	}{
		"none": {},
		"one":  {[]unionfs.Layer{w.unpack(nil, w.archive(tar.Header{Name: "a", Typeflag: tar.TypeReg, Mode: 0o644}, tar.Header{Name: ".wh.b", Typeflag: tar.TypeReg}))}, []string{"a"}},
		"two":  {[]unionfs.Layer{base, w.second(base)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			stack := w.container(c.layers...)
			stack.ReadOnly = true
			w.within(stack, func(root string) {
				if err := os.WriteFile(filepath.Join(root, "new"), nil, 0o644); err != unix.EROFS && !isErrno(err, unix.EROFS) {
					t.Errorf("write: %v", err)
				}
				if name != "two" {
					w.lists(root, c.names...)
				} else {
					w.checkSecond(root)
				}
			})
			w.viewed(stack, func(root string) {
				if name != "two" {
					w.lists(root, c.names...)
				}
			})
		})
	}
}

// checkSecond looks for what second did to base.
func (w *world) checkSecond(root string) {
	w.Helper()
	got := Look(w, root, true)
	for _, name := range []string{"bin/su", "etc/link", "etc/deep/er", "nothing/here", "nothing/.wh.here", "etc/.wh.link"} {
		if line, found := got[name]; found {
			w.Errorf("%s is there: %s", name, line)
		}
	}
	for _, name := range []string{"bin", "etc/passwd", "etc/deep/new", "one", "tmp", "nothing"} {
		if _, found := got[name]; !found {
			w.Errorf("%s is missing", name)
		}
	}
}
