// SPDX-License-Identifier: Apache-2.0

package chroot

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestCopierStaysInside copies a tree with links that lead out of it, a socket, and attributes.
func TestCopierStaysInside(t *testing.T) {
	dir := t.TempDir()
	from, to := filepath.Join(dir, "from"), filepath.Join(dir, "to")
	must(t, os.MkdirAll(from+"/sub", 0o755))
	must(t, os.Mkdir(to, 0o755))
	must(t, os.WriteFile(dir+"/secret", []byte("secret"), 0o600))
	must(t, os.WriteFile(from+"/sub/file", []byte("text"), 0o640))
	for name, target := range map[string]string{"absolute": dir + "/secret", "up": "../secret", "folder": "../..", "loop": "loop"} {
		must(t, os.Symlink(target, filepath.Join(from, name)))
	}
	listener, err := net.Listen("unix", from+"/socket")
	must(t, err)
	defer listener.Close()
	attributes := unix.Setxattr(from+"/sub/file", "user.stave", []byte("kept"), 0) == nil &&
		unix.Setxattr(to, "user.stave", nil, 0) == nil

	root, err := os.OpenRoot(from)
	must(t, err)
	defer root.Close()
	must(t, (&copier{from: root, to: to}).all())

	got := map[string]string{}
	must(t, filepath.WalkDir(to, func(path string, entry os.DirEntry, err error) error {
		must(t, err)
		info, err := entry.Info()
		must(t, err)
		text, _ := os.Readlink(path)
		if info.Mode().IsRegular() {
			content, _ := os.ReadFile(path)
			text = string(content)
		}
		got[path[len(to):]] = fmt.Sprint(info.Mode(), " ", text)
		return nil
	}))
	want := map[string]string{
		"": "drwxr-xr-x ", "/sub": "drwxr-xr-x ", "/sub/file": "-rw-r----- text", "/absolute": "Lrwxrwxrwx " + dir + "/secret",
		"/up": "Lrwxrwxrwx ../secret", "/folder": "Lrwxrwxrwx ../..", "/loop": "Lrwxrwxrwx loop",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("copied (-want +got):\n%s", diff)
	}
	if attributes {
		value := make([]byte, 8)
		if n, err := unix.Getxattr(to+"/sub/file", "user.stave", value); err != nil || string(value[:n]) != "kept" {
			t.Errorf("the attribute is %q, %v", value[:max(n, 0)], err)
		}
	}
}
