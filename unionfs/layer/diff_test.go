// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// twins makes two equal trees, the second for changes.
func twins(t *testing.T) (old, new string) {
	t.Helper()
	old, new = t.TempDir(), t.TempDir()
	for _, root := range []string{old, new} {
		for _, name := range []string{"dir/a", "dir/b", "dir/sub/deep", "file", "linked", "z/y/x"} {
			write(t, filepath.Join(root, name), "content")
		}
		must(t, os.Link(filepath.Join(root, "linked"), filepath.Join(root, "z/linked")))
		must(t, os.Symlink("file", filepath.Join(root, "link")))
		same(t, root)
	}
	return old, new
}

// same gives all files below a folder the same times.
func same(t testing.TB, root string) {
	t.Helper()
	for name := range manifest(t, root) {
		when := []unix.Timespec{{Sec: 1e9}, {Sec: 1e9}}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, filepath.Join(root, name), when, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// TestDiff holds the changes between two trees, and the entries of the layer, against the change that was made.
func TestDiff(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(at func(string) string)
		changes string
		entries string
	}{
		"nothing":                {change: func(func(string) string) {}},
		"added":                  {change: func(at func(string) string) { write(t, at("dir/sub/new"), "") }, changes: "C /dir, C /dir/sub, A /dir/sub/new", entries: "dir/ dir/sub/ dir/sub/new"},
		"directory added":        {change: func(at func(string) string) { write(t, at("new/dir/f"), "") }, changes: "A /new, A /new/dir, A /new/dir/f", entries: "new/ new/dir/ new/dir/f"},
		"deleted":                {change: func(at func(string) string) { must(t, os.Remove(at("dir/a"))) }, changes: "C /dir, D /dir/a", entries: "dir/ dir/.wh.a"},
		"directory deleted":      {change: func(at func(string) string) { must(t, os.RemoveAll(at("dir"))) }, changes: "D /dir", entries: ".wh.dir"},
		"content":                {change: func(at func(string) string) { write(t, at("file"), "CONTENT") }, changes: "C /file", entries: "file"},
		"size":                   {change: func(at func(string) string) { write(t, at("file"), "") }, changes: "C /file", entries: "file"},
		"mode":                   {change: func(at func(string) string) { must(t, os.Chmod(at("file"), 0o4755)) }, changes: "C /file", entries: "file"},
		"mode of a directory":    {change: func(at func(string) string) { must(t, os.Chmod(at("dir"), 0o711)) }, changes: "C /dir", entries: "dir/"},
		"extended attribute":     {change: func(at func(string) string) { must(t, unix.Lsetxattr(at("file"), "user.a", []byte("b"), 0)) }, changes: "C /file", entries: "file"},
		"time":                   {change: func(at func(string) string) { must(t, os.Chtimes(at("dir/b"), time.Now(), time.Unix(1e9, 1))) }, changes: "C /dir, C /dir/b", entries: "dir/ dir/b"},
		"directory to file":      {change: func(at func(string) string) { must(t, os.RemoveAll(at("dir"))); write(t, at("dir"), "") }, changes: "C /dir", entries: "dir"},
		"file to directory":      {change: func(at func(string) string) { must(t, os.Remove(at("file"))); write(t, at("file/f"), "") }, changes: "C /file, A /file/f", entries: "file/ file/f"},
		"link to file":           {change: func(at func(string) string) { must(t, os.Remove(at("link"))); write(t, at("link"), "file") }, changes: "C /link", entries: "link"},
		"target of a link":       {change: func(at func(string) string) { must(t, os.Remove(at("link"))); must(t, os.Symlink("elif", at("link"))) }, changes: "C /link", entries: "link"},
		"another name":           {change: func(at func(string) string) { must(t, os.Link(at("dir/a"), at("name"))) }, changes: "A /name", entries: "dir/ dir/a name"},
		"another name of linked": {change: func(at func(string) string) { must(t, os.Link(at("linked"), at("name"))) }, changes: "A /name", entries: "linked name z/ z/linked"},
		"name less":              {change: func(at func(string) string) { must(t, os.Remove(at("z/linked"))) }, changes: "C /z, D /z/linked", entries: "z/ z/.wh.linked"},
		"content of linked":      {change: func(at func(string) string) { write(t, at("linked"), "CONTENT") }, changes: "C /linked, C /z, C /z/linked", entries: "linked z/ z/linked"},
		"link broken":            {change: func(at func(string) string) { must(t, os.Remove(at("z/linked"))); write(t, at("z/linked"), "content") }, changes: "C /z, C /z/linked", entries: "z/ z/linked"},
	} {
		t.Run(name, func(t *testing.T) {
			old, new := twins(t)
			touched := strings.HasPrefix(name, "time")
			c.change(func(name string) string { return filepath.Join(new, name) })
			if !touched {
				same(t, new)
			}
			changes, err := Compare(t.Context(), old, new, owned())
			must(t, err)
			var lines []string
			for _, c := range changes {
				lines = append(lines, c.String())
			}
			if got := strings.Join(lines, ", "); got != c.changes {
				t.Errorf("changes %s, want %s", got, c.changes)
			}
			var data, again bytes.Buffer
			must(t, Diff(t.Context(), &data, old, new, owned()))
			must(t, Diff(t.Context(), &again, old, new, owned()))
			if got := strings.Join(names(t, data.Bytes()), " "); got != c.entries {
				t.Errorf("entries %s, want %s", got, c.entries)
			}
			if !bytes.Equal(data.Bytes(), again.Bytes()) {
				t.Error("a second time the bytes are others")
			}
		})
	}
}

// TestTrustTimes leaves out the comparison of contents where it is told to.
func TestTrustTimes(t *testing.T) {
	old, new := twins(t)
	write(t, filepath.Join(new, "file"), "CONTENT")
	same(t, new)
	o := owned()
	o.TrustTimes = true
	if changes, err := Compare(t.Context(), old, new, o); err != nil || len(changes) > 0 {
		t.Errorf("changes %v, %v", changes, err)
	}
}

// TestChanges lists what overlay wrote above two folders, as `docker diff` would.
func TestChanges(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay")
	low, middle, upper := t.TempDir(), t.TempDir(), t.TempDir()
	for _, name := range []string{"etc/a", "etc/b", "gone/x", "opaque/low", "usr/bin/sh", "var/only"} {
		write(t, filepath.Join(low, name), "low")
	}
	for _, name := range []string{"etc/b", "opaque/middle"} {
		write(t, filepath.Join(middle, name), "middle")
	}
	must(t, unix.Mknod(filepath.Join(middle, "gone"), unix.S_IFCHR, 0))
	write(t, filepath.Join(low, "hides/deep/low"), "low")
	write(t, filepath.Join(middle, "hides/middle"), "middle")
	must(t, unix.Lsetxattr(filepath.Join(middle, "hides"), "trusted.overlay.opaque", []byte("y"), 0))
	merged := layers(t, "", upper, middle, low)
	at := func(name string) string { return filepath.Join(merged, name) }
	must(t, os.Remove(at("etc/b")))
	write(t, at("etc/c"), "new")
	write(t, at("gone"), "a file again")
	write(t, at("hides/deep/low"), "new")
	must(t, os.RemoveAll(at("opaque")))
	write(t, at("opaque/low"), "in its place")
	must(t, os.Chmod(at("usr/bin/sh"), 0o755))
	must(t, os.RemoveAll(at("var")))
	changes, err := Changes(t.Context(), []string{low, middle}, upper, Options{})
	must(t, err)
	want := []Change{
		{Changed, "/etc"},
		{Deleted, "/etc/b"},
		{Added, "/etc/c"},
		{Added, "/gone"},
		{Changed, "/hides"},
		{Added, "/hides/deep"},
		{Added, "/hides/deep/low"},
		{Changed, "/opaque"},
		{Changed, "/opaque/low"},
		{Deleted, "/opaque/middle"},
		{Changed, "/usr"},
		{Changed, "/usr/bin"},
		{Changed, "/usr/bin/sh"},
		{Deleted, "/var"},
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Error(diff)
	}
}

// TestReferences refuses files of which the folder has only a part, unless there is a view of the whole.
func TestReferences(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay")
	low, upper := t.TempDir(), t.TempDir()
	write(t, filepath.Join(low, "dir/f"), "low")
	write(t, filepath.Join(low, "file"), "low")
	merged := layers(t, ",metacopy=on,redirect_dir=on", upper, low)
	must(t, os.Chmod(filepath.Join(merged, "file"), 0o700))
	err := Pack(t.Context(), &bytes.Buffer{}, upper, Options{})
	if err == nil || !strings.Contains(err.Error(), `"/file": the folder has only the file's attributes`) {
		t.Errorf("metacopy: error %v", err)
	}
	must(t, os.Rename(filepath.Join(merged, "dir"), filepath.Join(merged, "a")))
	err = Pack(t.Context(), &bytes.Buffer{}, upper, Options{})
	if err == nil || !strings.Contains(err.Error(), `"/a": the directory was renamed`) {
		t.Errorf("redirect: error %v", err)
	}
	if _, err := Changes(t.Context(), []string{low}, upper, Options{}); err == nil || !strings.Contains(err.Error(), `"/a": the directory was renamed`) {
		t.Errorf("changes: error %v", err)
	}
	write(t, filepath.Join(merged, "name"), "of a file beside the renamed directory and in it")
	must(t, os.Link(filepath.Join(merged, "name"), filepath.Join(merged, "a/name")))
	data := pack(t, upper, Options{View: merged})
	if diff := cmp.Diff([]string{"a/", "a/.wh..wh..opq", "a/f", "a/name", ".wh.dir", "file", "name"}, names(t, data)); diff != "" {
		t.Error(diff)
	}
	unpacked, _ := unpack(t, data, Options{})
	if diff := cmp.Diff(manifest(t, merged), manifest(t, layers(t, "", "", unpacked, low))); diff != "" {
		t.Error(diff)
	}
}
