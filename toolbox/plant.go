// SPDX-License-Identifier: Apache-2.0

package toolbox

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
	"stave/toolbox/shell"
)

// etcFiles is the files of /etc, by name.
func etcFiles() map[string]string {
	return map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/sh\n" +
			"daemon:x:1:1:daemon:/:/bin/false\n" +
			"learner:x:1000:1000:learner:/home/learner:/bin/sh\n" +
			"nobody:x:65534:65534:nobody:/:/bin/false\n",
		"group":       "root:x:0:\ndaemon:x:1:\ntty:x:5:\nlearner:x:1000:\nnogroup:x:65534:\n",
		"hostname":    "lab\n",
		"hosts":       "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n",
		"resolv.conf": "",
		"os-release":  "ID=stave-lab\nNAME=\"stave lab\"\nPRETTY_NAME=\"stave lab\"\n",
		"profile":     "export PATH=" + shell.DefaultPath + "\numask 022\n",
		"shells":      "/bin/sh\n",
	}
}

// Plant makes the root tree of the image in dir, an empty folder: a copy of the program at binary as /bin/stave-lab, a link to it for
// every tool, and the folders and files that programs expect. The copy has a new inode, never a hard link to the
// program on the host, which a container must not be able to write. Modes do not depend on the umask.
func Plant(dir, binary string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("plant %s: the folder is not empty", dir)
	}
	// A mode of the zero value means 0755.
	for _, f := range []struct {
		name string
		mode fs.FileMode
	}{
		{".", 0},
		{"bin", 0},
		{"dev", 0},
		{"etc", 0},
		{"home", 0},
		{learnerHome, 0},
		{"mnt", 0},
		{"proc", 0o555},
		{"root", 0o700},
		{"run", 0},
		{"srv", 0},
		{"sys", 0o555},
		{"tmp", 0o777 | fs.ModeSticky},
		{"usr", 0},
		{"usr/local", 0},
		{"usr/local/bin", 0},
		{"var", 0},
		{"var/log", 0},
		{"var/tmp", 0o777 | fs.ModeSticky},
	} {
		if f.mode == 0 {
			f.mode = 0o755
		}
		if err := folder(filepath.Join(dir, f.name), f.mode); err != nil {
			return err
		}
	}
	for link, target := range map[string]string{"sbin": "bin", "usr/bin": "../bin", "usr/sbin": "../bin", "var/run": "../run", "etc/mtab": "/proc/self/mounts"} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			return err
		}
	}
	for name, text := range etcFiles() {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
			return err
		}
		if err := os.Chmod(filepath.Join(dir, "etc", name), 0o644); err != nil {
			return err
		}
	}
	if err := giveHome(filepath.Join(dir, learnerHome)); err != nil {
		return err
	}
	return plantProgram(filepath.Join(dir, "bin"), binary)
}

// The ordinary user of the image, as etc/passwd has it.
const (
	learnerHome = "home/learner"
	learnerID   = 1000
)

// giveHome gives the folder to the ordinary user. Who plants without the right to, or in a user namespace without that id,
// keeps it.
func giveHome(home string) error {
	err := os.Chown(home, learnerID, learnerID)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EINVAL) {
		return nil
	}
	return err
}

// folder makes a folder, or takes the one that is there, and gives it its mode whatever the umask is.
func folder(path string, mode fs.FileMode) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return os.Chmod(path, mode)
}

// plantProgram copies the program into the folder and links every tool to it.
func plantProgram(bin, binary string) error {
	in, err := os.Open(binary)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(filepath.Join(bin, Binary), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Chmod(0o755)
	}
	if e := out.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("copy %s: %w", binary, err)
	}
	for _, name := range Names() {
		if err := os.Symlink(Binary, filepath.Join(bin, name)); err != nil {
			return err
		}
	}
	return nil
}
