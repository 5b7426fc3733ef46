// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestWhiteouts unpacks deletions in all orders, as root and as an ordinary user. A whiteout hides what is below, never what its own
// layer adds.
func TestWhiteouts(t *testing.T) {
	dir := byte(tar.TypeDir)
	cases := map[string]struct {
		entries []entry
		want    string
	}{
		"deleted":                        {entries: []entry{{name: ".wh.a"}}, want: "a!"},
		"deleted in a directory":         {entries: []entry{{name: "d/.wh.a"}}, want: "d/ d/a!"},
		"twice":                          {entries: []entry{{name: ".wh.a"}, {name: ".wh.a"}}, want: "a!"},
		"opaque":                         {entries: []entry{{name: "d", kind: dir}, {name: "d/.wh..wh..opq"}, {name: "d/f"}}, want: "d/= d/f"},
		"opaque without an entry":        {entries: []entry{{name: "d/.wh..wh..opq"}}, want: "d/="},
		"opaque after its files":         {entries: []entry{{name: "d/f"}, {name: "d/.wh..wh..opq"}}, want: "d/= d/f"},
		"opaque before its entry":        {entries: []entry{{name: "d/.wh..wh..opq"}, {name: "d", kind: dir}}, want: "d/="},
		"all is hidden":                  {entries: []entry{{name: ".wh..wh..opq"}, {name: "a"}}, want: "./= a"},
		"deleted, then added":            {entries: []entry{{name: ".wh.a"}, {name: "a"}}, want: "a"},
		"added, then deleted":            {entries: []entry{{name: "a"}, {name: ".wh.a"}}, want: "a"},
		"deleted, then a directory":      {entries: []entry{{name: ".wh.a"}, {name: "a", kind: dir}, {name: "a/b"}}, want: "a/= a/b"},
		"a directory, then deleted":      {entries: []entry{{name: "a", kind: dir}, {name: "a/b"}, {name: ".wh.a"}}, want: "a/= a/b"},
		"deleted, then a file in it":     {entries: []entry{{name: ".wh.a"}, {name: "a/b"}}, want: "a/= a/b"},
		"deleted, then a whiteout in":    {entries: []entry{{name: ".wh.a"}, {name: "a/.wh.b"}}, want: "a/= a/b!"},
		"whiteout of a name with .wh.":   {entries: []entry{{name: ".wh.a.wh.b"}}, want: "a.wh.b!"},
		"opaque, then a file instead":    {entries: []entry{{name: "a/.wh..wh..opq"}, {name: "a"}}, want: "a"},
		"opaque through a link":          {entries: []entry{{name: "a/b", kind: dir}, {name: "l", kind: tar.TypeSymlink, link: "a/b"}, {name: "l/.wh..wh..opq"}}, want: "a/ a/b/= l@"},
		"whiteout through a link":        {entries: []entry{{name: "a/b", kind: dir}, {name: "l", kind: tar.TypeSymlink, link: "a/b"}, {name: "l/.wh.c"}}, want: "a/ a/b/ a/b/c! l@"},
		"whiteout that is a directory":   {entries: []entry{{name: ".wh.a", kind: dir}}, want: "a!"},
		"whiteout that is a hard link":   {entries: []entry{{name: ".wh.a", kind: tar.TypeLink, link: "nowhere"}}, want: "a!"},
		"whiteout with content":          {entries: []entry{{name: ".wh.a", content: "skipped"}, {name: "b", content: "read"}}, want: "a! b"},
		"link deleted, then a file":      {entries: []entry{{name: ".wh.a"}, {name: "a", kind: tar.TypeSymlink, link: "b"}, {name: ".wh.a"}}, want: "a@"},
		"deleted in a file":              {entries: []entry{{name: "a"}, {name: "a/.wh.b"}, {name: "a/c/.wh.d"}, {name: "a/.wh..wh..opq"}}, want: "a"},
		"deleted in what is a file then": {entries: []entry{{name: "a/.wh.b"}, {name: "a"}}, want: "a"},
		"deleted, then a link to files":  {entries: []entry{{name: "f"}, {name: ".wh.a"}, {name: "a", kind: tar.TypeLink, link: "f"}}, want: "a f"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			data := archive(t, c.entries...)
			asNobody(t, func(folder string) {
				if _, err := Unpack(t.Context(), folder, bytes.NewReader(data), owned()); err != nil {
					t.Error(err)
					return
				}
				if got := listing(t, folder); got != c.want {
					t.Errorf("as an ordinary user %s, want %s", got, c.want)
				}
			})
			t.Run("root", func(t *testing.T) {
				witness.Need(t, "root")
				folder, _ := unpack(t, data, Options{})
				if got := listing(t, folder); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				for name, line := range manifest(t, folder) {
					if strings.Contains(line, "user.overlay") {
						t.Errorf("%s: %s", name, line)
					}
				}
				repacked(t, folder)
			})
		})
	}
}

// repacked packs a folder and expects the same folder of the archive.
func repacked(t *testing.T, folder string) {
	t.Helper()
	again, _ := unpack(t, pack(t, folder, Options{}), Options{})
	before, after := manifest(t, folder), manifest(t, again)
	for name, line := range before {
		if strings.Contains(line, "device=0:0") { // whiteouts have no times
			before[name], after[name] = "whiteout", map[bool]string{true: "whiteout"}[strings.Contains(after[name], "device=0:0")]
		}
	}
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("packed and unpacked: %s", diff)
	}
}

// TestImplicit unpacks files whose directories have no entries, and takes the attributes of these from below.
func TestImplicit(t *testing.T) {
	witness.Need(t, "root")
	low, middle := t.TempDir(), t.TempDir()
	for _, dir := range []string{"tmp/deep", "gone", "seen"} {
		must(t, os.MkdirAll(filepath.Join(low, dir), 0o700))
	}
	must(t, unix.Chmod(filepath.Join(low, "tmp"), 0o1777))
	must(t, os.Chown(filepath.Join(low, "tmp"), 5, 6))
	must(t, unix.Lsetxattr(filepath.Join(low, "tmp"), "user.a", []byte("b"), 0))
	must(t, unix.Lsetxattr(filepath.Join(low, "tmp"), "trusted.overlay.opaque", []byte("y"), 0))
	must(t, unix.Mknod(filepath.Join(middle, "gone"), unix.S_IFCHR, 0))
	must(t, os.Mkdir(filepath.Join(middle, "seen"), 0o711))
	dir, result := unpack(t, archive(t, entry{name: "tmp/a"}, entry{name: "tmp/deep/b"}, entry{name: "gone/c"}, entry{name: "seen/d"}, entry{name: "new/e"}), Options{})
	if diff := cmp.Diff([]string{"", "tmp", "tmp/deep", "gone", "seen", "new"}, result.Implicit); diff != "" {
		t.Error(diff)
	}
	modes := func() map[string]string {
		found := map[string]string{}
		for name, line := range manifest(t, dir) {
			if fields := strings.Fields(line); strings.HasPrefix(line, "04") {
				found[name] = strings.Join(append(fields[:2:2], fields[min(3, len(fields)):]...), " ")
			}
		}
		return found
	}
	plain := map[string]string{".": "040755 0:0", "tmp": "040755 0:0", "tmp/deep": "040755 0:0", "gone": "040755 0:0", "seen": "040755 0:0", "new": "040755 0:0"}
	if diff := cmp.Diff(plain, modes()); diff != "" {
		t.Errorf("unpacked: %s", diff)
	}
	must(t, Inherit(dir, []string{low, middle}, result.Implicit, Options{}))
	want := map[string]string{".": "040755 0:0", "tmp": "041777 5:6 user.a=62", "tmp/deep": "040700 0:0", "gone": "040755 0:0", "seen": "040711 0:0", "new": "040755 0:0"}
	if diff := cmp.Diff(want, modes()); diff != "" {
		t.Errorf("inherited: %s", diff)
	}
}

// names lists the entries of an archive.
func names(t testing.TB, data []byte) []string {
	t.Helper()
	var found []string
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return found
		}
		must(t, err)
		found = append(found, h.Name)
	}
}

// TestPackForms packs whiteouts and opaque directories in all forms that overlay reads, in the order of the names.
func TestPackForms(t *testing.T) {
	witness.Need(t, "root")
	for name, prefix := range map[string]string{"root": "trusted.overlay.", "user": "user.overlay."} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			at := func(name string) string { return filepath.Join(dir, name) }
			for _, name := range []string{"b/z", "b.a", "c/f", "d/normal"} {
				write(t, at(name), "")
			}
			for _, name := range []string{"b/gone", "B", "c/.q"} {
				must(t, unix.Mknod(at(name), unix.S_IFCHR, 0))
			}
			must(t, unix.Lsetxattr(at("c"), prefix+"opaque", []byte("y"), 0))
			must(t, unix.Lsetxattr(at("d"), prefix+"opaque", []byte("x"), 0)) // has whiteouts that are files
			write(t, at("d/white"), "")
			must(t, unix.Lsetxattr(at("d/white"), prefix+"whiteout", []byte("y"), 0))
			for _, x := range []string{"origin", "impure", "nlink"} {
				must(t, unix.Lsetxattr(at("b"), prefix+x, []byte("y"), 0))
			}
			data := pack(t, dir, Options{UserXattr: name == "user"})
			want := []string{".wh.B", "b/", "b/.wh.gone", "b/z", "b.a", "c/", "c/.wh..wh..opq", "c/.wh..q", "c/f", "d/", "d/normal", "d/.wh.white"}
			if diff := cmp.Diff(want, names(t, data)); diff != "" {
				t.Error(diff)
			}
			if bytes.Contains(data, []byte("overlay")) {
				t.Error("overlay's own attributes are in the archive")
			}
		})
	}
}

// TestPackRefuses refuses what would not come back from a layer.
func TestPackRefuses(t *testing.T) {
	t.Run("name of a whiteout", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "d/.wh.a"), "")
		err := Pack(t.Context(), io.Discard, dir, owned())
		if err == nil || !strings.Contains(err.Error(), `"/d/.wh.a": a name that starts with .wh.`) {
			t.Errorf("error %v", err)
		}
	})
	t.Run("socket", func(t *testing.T) {
		dir := t.TempDir()
		must(t, unix.Mknod(filepath.Join(dir, "s"), unix.S_IFSOCK|0o600, 0))
		o := owned()
		var told string
		o.Notice = func(path, why string) { told = path + ": " + why }
		if got := names(t, pack(t, dir, o)); len(got) > 0 || told != "s: socket: an archive can't hold it" {
			t.Errorf("packed %q, told %q", got, told)
		}
	})
}
