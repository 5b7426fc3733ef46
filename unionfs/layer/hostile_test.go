// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// owned is what an ordinary user can unpack.
func owned() Options { return Options{UserXattr: true, SkipOwners: true} }

// paxRecord gives an entry a PAX record.
func paxRecord(name, value string) func(*tar.Header) {
	return func(h *tar.Header) { h.PAXRecords = map[string]string{name: value} }
}

// TestHostile unpacks archives that mean harm, or that no folder can be made of. The error names the entry, and nothing changes
// outside the folder.
func TestHostile(t *testing.T) {
	dir, link, symlink := byte(tar.TypeDir), byte(tar.TypeLink), byte(tar.TypeSymlink)
	for name, c := range map[string]struct {
		entries []entry
		limits  Limits
		fails   string
	}{
		"climbs":                     {entries: []entry{{name: "../evil"}}, fails: `layer entry "../evil": the name has ".."`},
		"climbs within":              {entries: []entry{{name: "a/../../evil"}}, fails: `layer entry "a/../../evil": the name has ".."`},
		"climbing whiteout":          {entries: []entry{{name: "a/.wh..."}}, fails: `layer entry "a/.wh...": the whiteout names no file`},
		"whiteout of the folder":     {entries: []entry{{name: ".wh."}}, fails: "names no file"},
		"whiteout of the folder, .":  {entries: []entry{{name: ".wh.."}}, fails: "names no file"},
		"absolute link above":        {entries: []entry{{name: "a", kind: symlink, link: "OUTSIDE"}, {name: "a/evil"}}, fails: `layer entry "a/evil": a symbolic link in its path leads out`},
		"climbing link above":        {entries: []entry{{name: "a", kind: symlink, link: ".."}, {name: "a/evil"}}, fails: "leads out of the layer"},
		"chain of links above":       {entries: []entry{{name: "a", kind: symlink, link: "b/c"}, {name: "b", kind: dir}, {name: "b/c", kind: symlink, link: "../../"}, {name: "a/evil"}}, fails: "leads out of the layer"},
		"links in a circle":          {entries: []entry{{name: "a", kind: symlink, link: "b"}, {name: "b", kind: symlink, link: "a"}, {name: "a/evil"}}, fails: "too many levels"},
		"whiteout through a link":    {entries: []entry{{name: "a", kind: symlink, link: "OUTSIDE"}, {name: "a/.wh.victim"}}, fails: "leads out of the layer"},
		"opaque through a link":      {entries: []entry{{name: "a", kind: symlink, link: "OUTSIDE"}, {name: "a/.wh..wh..opq"}}, fails: "leads out of the layer"},
		"magic link":                 {entries: []entry{{name: "a", kind: symlink, link: "/proc/self/cwd"}, {name: "a/evil"}}, fails: "leads out of the layer"},
		"dangling link above":        {entries: []entry{{name: "a", kind: symlink, link: "b"}, {name: "a/evil"}}, fails: `the symbolic link "a" in its path leads nowhere`},
		"file above":                 {entries: []entry{{name: "a"}, {name: "a/evil"}}, fails: `layer entry "a/evil": "a" in its path: it is no directory`},
		"hard link out":              {entries: []entry{{name: "a", kind: link, link: "../victim"}}, fails: `layer entry "a": hard link to "../victim": the name has ".."`},
		"hard link to an outer path": {entries: []entry{{name: "a", kind: link, link: "OUTSIDE/victim"}}, fails: "hard link to "},
		"hard link through a link":   {entries: []entry{{name: "s", kind: symlink, link: "OUTSIDE"}, {name: "a", kind: link, link: "s/victim"}}, fails: "leads out of the layer"},
		"hard link to nothing":       {entries: []entry{{name: "a", kind: link, link: "b"}}, fails: "no such file in this layer"},
		"hard link to a directory":   {entries: []entry{{name: "b", kind: dir}, {name: "a", kind: link, link: "b"}}, fails: "it is a directory"},
		"hard link to the folder":    {entries: []entry{{name: "a", kind: link, link: "/"}}, fails: "hard link to"},
		"hard link to a whiteout":    {entries: []entry{{name: ".wh.b"}, {name: "a", kind: link, link: "b"}}, fails: "no such file in this layer"},
		"file as the root":           {entries: []entry{{name: "./", kind: symlink, link: "OUTSIDE"}}, fails: "the root of a layer must be a directory"},
		"unknown kind":               {entries: []entry{{name: "a", kind: 'D'}}, fails: `layer entry "a": entries of type 'D' are not known`},
		"long name":                  {entries: []entry{{name: strings.Repeat("n", 256)}}, fails: "file name too long"},
		"long path":                  {entries: []entry{{name: strings.Repeat("dir/", 1100), kind: dir}}, fails: "at most 3071"},
		"deep path":                  {entries: []entry{{name: strings.Repeat("d/", 512) + "f"}}, fails: "513 levels deep, at most 512"},
		"deep path through a link":   {entries: []entry{{name: strings.Repeat("d/", 500), kind: dir}, {name: "a", kind: symlink, link: strings.Repeat("d/", 500)}, {name: "a/" + strings.Repeat("e/", 13) + "f"}}, fails: "513 levels deep, at most 512"},
		"long path through a link":   {entries: []entry{{name: strings.Repeat(strings.Repeat("d", 150)+"/", 20), kind: dir}, {name: "a", kind: symlink, link: strings.Repeat(strings.Repeat("d", 150)+"/", 20)}, {name: "a/" + strings.Repeat("e", 100) + "/f"}}, fails: "the path has 3120 bytes, at most 3071"},
		"many implied directories":   {entries: []entry{{name: "a/b/c/d/e"}}, limits: Limits{Entries: 4}, fails: "the layer has more than 4 entries, counted with the directories that have none"},
		"many bytes of paths":        {entries: []entry{{name: "a/bcd/e", kind: dir}, {name: "f"}}, limits: Limits{Paths: 12}, fails: "the paths of the layer's directories have more than 12 bytes"},
		"hard link into itself":      {entries: []entry{{name: "a/b"}, {name: "a", kind: link, link: "a/b"}}, fails: `layer entry "a": hard link to "a/b": no such file or directory`},
		"long link":                  {entries: []entry{{name: "a", kind: symlink, link: strings.Repeat("x", 4096)}}, fails: "symbolic link with 4096 bytes"},
		"many bytes":                 {entries: []entry{{name: "a", content: "12345"}, {name: "b", content: "678901"}}, limits: Limits{Bytes: 10}, fails: `layer entry "b": with its 6 bytes the layer has more than 10`},
		"many entries":               {entries: []entry{{name: "a"}, {name: "b"}, {name: "c"}}, limits: Limits{Entries: 2}, fails: "the layer has more than 2 entries"},
		"large xattrs":               {entries: []entry{{name: "a", header: paxRecord("SCHILY.xattr.user.a", strings.Repeat("v", 100))}}, limits: Limits{Xattrs: 100}, fails: "extended attributes have more than 100 bytes"},
		"one large xattr":            {entries: []entry{{name: "a", header: paxRecord("SCHILY.xattr.user.a", strings.Repeat("v", 65537))}}, fails: "more than 65536"},
		"odd access control list":    {entries: []entry{{name: "a", header: paxRecord("SCHILY.xattr."+aclPrefix+"access", "x")}}, fails: `layer entry "a": set extended attribute "system.posix_acl_access": invalid argument`},
		"odd libarchive xattr":       {entries: []entry{{name: "a", header: paxRecord("LIBARCHIVE.xattr.user.a", "*")}}, fails: "illegal base64"},
		"odd libarchive name":        {entries: []entry{{name: "a", header: paxRecord("LIBARCHIVE.xattr.user.%zz", "")}}, fails: "invalid URL escape"},
		"records for all":            {entries: []entry{{name: "g", kind: tar.TypeXGlobalHeader, header: globalRecord("path", "evil")}}, fails: `record "path" for all entries`},
	} {
		t.Run(name, func(t *testing.T) {
			above := t.TempDir()
			folder, outside := filepath.Join(above, "folder"), filepath.Join(above, "outside")
			must(t, os.Mkdir(folder, 0o755))
			write(t, filepath.Join(outside, "victim"), "precious")
			before := manifest(t, outside)
			for i, e := range c.entries {
				c.entries[i].link = strings.ReplaceAll(e.link, "OUTSIDE", outside)
			}
			o := owned()
			o.Limits = c.limits
			_, err := Unpack(context.Background(), folder, bytes.NewReader(archive(t, c.entries...)), o)
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error %v, want one with %q", err, c.fails)
			}
			if diff := cmp.Diff(before, manifest(t, outside)); diff != "" {
				t.Errorf("outside of the folder: %s", diff)
			}
			if names, err := os.ReadDir(above); err != nil || len(names) != 2 {
				t.Errorf("beside the folder: %v, %v", names, err)
			}
		})
	}
}

// globalRecord makes an entry one whose record holds for all that follow.
func globalRecord(name, value string) func(*tar.Header) {
	return func(h *tar.Header) {
		*h = tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: map[string]string{name: value}}
	}
}

// TestOddButFine unpacks archives that look like trouble and are none.
func TestOddButFine(t *testing.T) {
	dir, link, symlink := byte(tar.TypeDir), byte(tar.TypeLink), byte(tar.TypeSymlink)
	for name, c := range map[string]struct {
		entries []entry
		want    string
	}{
		"absolute":                  {entries: []entry{{name: "/a//b"}, {name: "./c"}, {name: "/d", kind: link, link: "/c"}}, want: "a/ a/b c d"},
		"link to a directory above": {entries: []entry{{name: "usr/lib", kind: dir}, {name: "lib", kind: symlink, link: "usr/lib"}, {name: "lib/x/y"}}, want: "lib@ usr/ usr/lib/ usr/lib/x/ usr/lib/x/y"},
		"hard link through it":      {entries: []entry{{name: "usr/lib/f"}, {name: "lib", kind: symlink, link: "usr/lib"}, {name: "g", kind: link, link: "lib/f"}}, want: "g lib@ usr/ usr/lib/ usr/lib/f"},
		"hard link to a link":       {entries: []entry{{name: "a", kind: symlink, link: "/etc/passwd"}, {name: "b", kind: link, link: "a"}}, want: "a@ b@"},
		"hard link to itself":       {entries: []entry{{name: "a"}, {name: "a", kind: link, link: "./a"}}, want: "a"},
		"twice":                     {entries: []entry{{name: "a", content: "1"}, {name: "a", content: "2"}}, want: "a"},
		"file, then directory":      {entries: []entry{{name: "a"}, {name: "a", kind: dir}, {name: "a/b"}}, want: "a/ a/b"},
		"directory, then file":      {entries: []entry{{name: "a/b/c"}, {name: "a", content: "x"}}, want: "a"},
		"and a directory again":     {entries: []entry{{name: "a/b/c"}, {name: "a", content: "x"}, {name: "a", kind: dir}, {name: "a/b/d"}}, want: "a/ a/b/ a/b/d"},
		"directory, then link":      {entries: []entry{{name: "a/b"}, {name: "c", kind: dir}, {name: "a", kind: symlink, link: "c"}, {name: "a/d"}}, want: "a@ c/ c/d"},
		"link, then file":           {entries: []entry{{name: "b"}, {name: "a", kind: symlink, link: "b"}, {name: "a", content: "x"}}, want: "a b"},
		"directory twice":           {entries: []entry{{name: "a", kind: dir}, {name: "a/b"}, {name: "a", kind: dir}}, want: "a/ a/b"},
		"comment of git":            {entries: []entry{{name: "g", kind: tar.TypeXGlobalHeader, header: globalRecord("comment", "0123")}, {name: "a"}}, want: "a"},
		"aufs":                      {entries: []entry{{name: ".wh..wh.plnk/1.2"}, {name: ".wh..wh.aufs"}, {name: "a"}}, want: "a"},
		"contiguous":                {entries: []entry{{name: "a", kind: tar.TypeCont, content: "x"}}, want: "a"},
		"fifo":                      {entries: []entry{{name: "a", kind: tar.TypeFifo}}, want: "a|"},
		"overlay's own xattr":       {entries: []entry{{name: "a", header: paxRecord("SCHILY.xattr.user.overlay.redirect", "/b")}, {name: "b", header: paxRecord("SCHILY.xattr.trusted.overlay.metacopy", "")}}, want: "a b"},
	} {
		t.Run(name, func(t *testing.T) {
			folder, _ := unpack(t, archive(t, c.entries...), owned())
			if got := listing(t, folder); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			for name, line := range manifest(t, folder) {
				if strings.Contains(line, "overlay") {
					t.Errorf("%s: %s", name, line)
				}
			}
		})
	}
}

// TestDirectoryAgain gives a directory the attributes of its last entry, not those of one that it replaced.
func TestDirectoryAgain(t *testing.T) {
	mode := func(mode int64) func(*tar.Header) { return func(h *tar.Header) { h.Mode = mode } }
	dir, result := unpack(t, archive(
		t,
		entry{name: "a/b", kind: tar.TypeDir, header: mode(0o500)}, entry{name: "a", kind: tar.TypeDir, header: mode(0o511)},
		entry{name: "a"}, entry{name: "a", kind: tar.TypeDir, header: mode(0o711)}, entry{name: "a/b/c"},
		entry{name: "d", kind: tar.TypeDir, header: mode(0o700)}, entry{name: "d", kind: tar.TypeDir, header: mode(0o1777)},
	), owned())
	for name, want := range map[string]string{"a": "040711", "a/b": "040755", "d": "041777"} {
		if got, _, _ := strings.Cut(manifest(t, dir)[name], " "); got != want {
			t.Errorf("%s has mode %s, want %s", name, got, want)
		}
	}
	if diff := cmp.Diff([]string{"", "a/b"}, result.Implicit); diff != "" {
		t.Error(diff)
	}
}

// listing lists a tree in one line: directories with /, links with @, whiteouts with !, fifos with |, opaque directories with =.
func listing(t testing.TB, root string) string {
	t.Helper()
	var names []string
	for name, line := range manifest(t, root) {
		mark := ""
		switch {
		case strings.Contains(line, "overlay.opaque=79"):
			mark = "/="
		case strings.HasPrefix(line, "04"):
			mark = "/"
		case strings.Contains(line, " -> "):
			mark = "@"
		case strings.Contains(line, "device=0:0"):
			mark = "!"
		case strings.HasPrefix(line, "01") && !strings.HasPrefix(line, "010"):
			mark = "@"
		case strings.HasPrefix(line, "010") && !strings.HasPrefix(line, "0100"):
			mark = "|"
		}
		if name != "." || mark == "/=" {
			names = append(names, name+mark)
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// TestSparseBomb refuses a file of holes that would be read for hours.
func TestSparseBomb(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "f"), "")
	must(t, os.Truncate(filepath.Join(dir, "f"), 2<<40))
	data := gnuTar(t, dir, "--sparse")
	_, err := Unpack(t.Context(), t.TempDir(), bytes.NewReader(data), owned())
	if err == nil || !strings.Contains(err.Error(), `layer entry "./f": with its 2199023255552 bytes the layer has more than 1099511627776`) {
		t.Errorf("error %v", err)
	}
}

// TestNotEmpty refuses a folder with something in it.
func TestNotEmpty(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "old"), "")
	_, err := Unpack(t.Context(), dir, bytes.NewReader(archive(t)), owned())
	if err == nil || !strings.Contains(err.Error(), `must be empty, but it has "old" in it`) {
		t.Errorf("error %v", err)
	}
}

// TestCut refuses an archive that ends early.
func TestCut(t *testing.T) {
	whole := archive(t, entry{name: "a", content: strings.Repeat("x", 1000)})
	for _, n := range []int{1, 511, 513, 1400} {
		_, err := Unpack(t.Context(), t.TempDir(), bytes.NewReader(whole[:n]), owned())
		if err == nil || !strings.Contains(err.Error(), "unexpected EOF") {
			t.Errorf("%d bytes: error %v", n, err)
		}
	}
}

// TestCancelled stops with the reason of the context.
func TestCancelled(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("changed my mind")
	stop(why)
	if _, err := Unpack(ctx, t.TempDir(), bytes.NewReader(archive(t, entry{name: "a"})), owned()); !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
		t.Errorf("unpack: %v", err)
	}
	if err := Pack(ctx, &bytes.Buffer{}, everyone(t), owned()); !errors.Is(err, context.Canceled) {
		t.Errorf("pack: %v", err)
	}
}

// everyone makes a small tree as any user.
func everyone(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a/b"), "content")
	must(t, os.Symlink("b", filepath.Join(dir, "a/c")))
	return dir
}

// TestFullDisk says what was written when the disk was full, and where to make room.
func TestFullDisk(t *testing.T) {
	witness.Need(t, "root", "filesystem:tmpfs")
	dir := t.TempDir()
	must(t, unix.Mount("small", dir, "tmpfs", 0, "size=256k"))
	defer func() { must(t, unix.Unmount(dir, 0)) }()
	data := archive(t, entry{name: "a", content: "fits"}, entry{name: "big", content: strings.Repeat("x", 1<<20)})
	_, err := Unpack(t.Context(), dir, bytes.NewReader(data), Options{})
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), `layer entry "big": write: no space left on device: make room on the file system of `+dir) {
		t.Errorf("error %v", err)
	}
}

// TestDevices refuses or leaves out device nodes that the kernel doesn't let us make, as for an ordinary user.
func TestDevices(t *testing.T) {
	data := archive(t, entry{name: "dev/null", kind: tar.TypeChar, header: func(h *tar.Header) { h.Devmajor, h.Devminor = 1, 3 }}, entry{name: "a"})
	asNobody(t, func(dir string) {
		_, err := Unpack(t.Context(), dir, bytes.NewReader(data), owned())
		if err == nil || !strings.Contains(err.Error(), `layer entry "dev/null": make device 1:3: operation not permitted`) {
			t.Errorf("error %v", err)
		}
	})
	asNobody(t, func(dir string) {
		o := owned()
		o.SkipDevices = true
		var told []string
		o.Notice = func(path, why string) { told = append(told, path+": "+why) }
		if _, err := Unpack(t.Context(), dir, bytes.NewReader(data), o); err != nil {
			t.Error(err)
		}
		if got := listing(t, dir); got != "a dev/" {
			t.Errorf("made %s", got)
		}
		if diff := cmp.Diff([]string{"dev/null: device node: operation not permitted"}, told); diff != "" {
			t.Error(diff)
		}
	})
}
