// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestCommitLikePodman changes everything in a container that can be changed, makes an image of it, and has podman unpack that: podman sees
// the tree that the container had.
func TestCommitLikePodman(t *testing.T) {
	witness.Need(t, "root", "command:podman", "command:busybox", "filesystem:overlay")
	state := filepath.Join(folder(t), "state")
	box := makeTree(t)
	must(t, state, "import", box, "base")
	must(t, state, "run", "--name", "changed", "base", "sh", "-ec", `
		echo added > /added; mkdir -p /new/deep; echo x > /new/deep/file
		echo more >> /changed; chmod 4750 /mode; chown 12:34 /owner; touch -d 2001-02-03 /time
		rm /deleted; rm -r /gone
		rm -r /folder-to-file; echo now a file > /folder-to-file
		rm /file-to-folder; mkdir /file-to-folder; echo in > /file-to-folder/in
		rm /link; ln -s elsewhere /link
		echo one > /hard1; ln /hard1 /hard2; ln /old /old-again
		rm -r /opaque; mkdir /opaque; echo only > /opaque/only
		mv /moved /moved-away; mknod /fifo p; rm /in/side; echo kept > "/name with blanks
and more"`)
	id := strings.TrimSpace(must(t, state, "ps", "-aq", "--no-trunc"))
	for name, value := range map[string]string{"user.colour": "blue", "security.capability": "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		if err := unix.Lsetxattr(filepath.Join(state, "containers", id, "diff/added"), name, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	must(t, state, "commit", "changed", "made")
	dir := folder(t)
	archive, exported, unpacked := filepath.Join(dir, "made.tar"), filepath.Join(dir, "exported.tar"), filepath.Join(dir, "tree")
	must(t, state, "save", "-o", archive, "made")
	must(t, state, "export", "-o", exported, "changed")
	if err := os.Mkdir(unpacked, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-C", unpacked, "--xattrs", "--xattrs-include=*", "--same-owner", "--numeric-owner", "-xpf", exported).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	podman := podmanIn(t)
	podman("load", "-i", archive)
	mounted := strings.TrimSpace(podman("image", "mount", "made"))
	defer podman("image", "umount", "-a")
	ours, theirs := treeOf(t, unpacked), treeOf(t, mounted)
	if len(ours) < 25 || ours["added"] == "" || ours["deleted"] != "" {
		t.Fatalf("the container's tree is %q", ours)
	}
	if diff := cmp.Diff(ours, theirs); diff != "" {
		t.Errorf("the container's tree (-) and podman's of the image made of it (+):\n%s", diff)
	}
	again := must(t, state, "run", "--rm", "made", "sh", "-c", "cat /opaque/* /folder-to-file /file-to-folder/in; ls /gone /deleted 2>&1 | grep -c No")
	if again != "only\nnow a file\nin\n2\n" {
		t.Errorf("a container of the image says %q", again)
	}
}

// makeTree makes an archive of busybox and files to be changed.
func makeTree(t *testing.T) string {
	t.Helper()
	dir := folder(t)
	root := filepath.Join(dir, "root")
	makeRoot(t, root)
	for _, name := range []string{"gone/a", "folder-to-file/a", "opaque/old", "in/side", "in/stays"} {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		put(t, filepath.Join(root, name), name, 0o644)
	}
	for _, name := range []string{"changed", "mode", "owner", "time", "deleted", "file-to-folder", "old", "moved", "same"} {
		put(t, filepath.Join(root, name), name, 0o644)
	}
	if err := os.Symlink("here", filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	box := filepath.Join(dir, "box.tar")
	if out, err := exec.Command("tar", "-C", root, "-cf", box, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return box
}

// must runs stave with a state folder; it must not fail.
func must(t *testing.T, state string, args ...string) string {
	t.Helper()
	got := inState(t, state, args...)
	if got.code != 0 {
		t.Fatalf("stave %q: exit code %d, %s", args, got.code, got.err)
	}
	return got.out
}

// podmanIn returns podman with a store of its own.
func podmanIn(t *testing.T) func(args ...string) string {
	t.Helper()
	root, run := folder(t), folder(t)
	return func(args ...string) string {
		t.Helper()
		c := exec.Command("podman", append([]string{"--root", root, "--runroot", run, "--storage-driver", "vfs", "--events-backend", "none"}, args...)...)
		var errs strings.Builder
		c.Stderr = &errs
		out, err := c.Output()
		if err != nil {
			t.Fatalf("podman %q: %v: %s", args, err, errs.String())
		}
		return string(out)
	}
}

// treeOf describes each file of a folder: kind, mode, owner, time, content, extended attributes, and the first name of the same file.
func treeOf(t *testing.T, dir string) map[string]string {
	t.Helper()
	tree, first := map[string]string{}, map[uint64]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		text := fmt.Sprintf("%v %d:%d %d %s", info.Mode(), stat.Uid, stat.Gid, stat.Mtim.Sec, xattrs(t, path))
		switch {
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text += fmt.Sprintf(" %x", sha256.Sum256(data))
			if first[stat.Ino] != "" {
				text += " same as " + first[stat.Ino]
			} else {
				first[stat.Ino] = name
			}
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			text += " to " + target
		}
		tree[name] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// xattrs lists the extended attributes of a file.
func xattrs(t *testing.T, path string) string {
	t.Helper()
	names := make([]byte, 1<<16)
	n, err := unix.Llistxattr(path, names)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, name := range strings.FieldsFunc(string(names[:n]), func(r rune) bool { return r == 0 }) {
		value := make([]byte, 1<<16)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, fmt.Sprintf("%s=%q", name, value[:n]))
	}
	slices.Sort(all)
	return strings.Join(all, ",")
}
