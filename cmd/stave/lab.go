// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"stave/container"
)

// labImage is the name of the image that is built in.
const labImage = "lab"

// lab is a root file system made for one container from the program stave-lab.
type lab struct {
	rootfs string
	remove func() error // removes it
}

// makeLab makes the image's root file system for a container. Each container gets its own: what it
// changes is gone with it. foreign gives the files to the container's root where that is another user
// of the host.
func makeLab(c *cli.Context, id string, foreign bool) (*lab, error) {
	program, err := labProgram()
	if err != nil {
		return nil, err
	}
	e, err := openEngine(c)
	if err != nil {
		return nil, err
	}
	dir, release, err := e.Containers.Temporary(c.Context, id, foreign)
	if err != nil {
		return nil, err
	}
	l := &lab{rootfs: filepath.Join(dir, "rootfs"), remove: release}
	if err := l.make(program, foreign); err != nil {
		return nil, errors.Join(err, l.remove())
	}
	return l, nil
}

// make fills the folder.
func (l *lab) make(program string, foreign bool) error {
	if err := os.Mkdir(l.rootfs, 0o755); err != nil {
		return err
	}
	if out, err := exec.Command(program, "--plant", l.rootfs).CombinedOutput(); err != nil {
		return fmt.Errorf("make the image %s: %w: %s", labImage, err, bytes.TrimSpace(out))
	}
	if !foreign {
		return nil
	}
	uid, gid := container.MappedRoot()
	return filepath.WalkDir(l.rootfs, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, uid, gid)
	})
}

// labProgram finds the program stave-lab beside this one.
func labProgram() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	program := filepath.Join(filepath.Dir(self), "stave-lab")
	if _, err := os.Stat(program); err != nil {
		return "", fmt.Errorf("the image %s is made of the program stave-lab, which is not beside %s: make build puts it there", labImage, self)
	}
	return program, nil
}

// stateDir is where what containers need is kept: $STAVE_STATE, or else /var/lib/stave, and for an
// ordinary user $XDG_DATA_HOME/stave.
func stateDir() (string, error) {
	if dir := os.Getenv("STAVE_STATE"); dir != "" {
		return filepath.Abs(dir)
	}
	if os.Geteuid() == 0 {
		return "/var/lib/stave", nil
	}
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "stave"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("where to keep the container's files: %w, and XDG_DATA_HOME is not set either", err)
	}
	return filepath.Join(home, ".local", "share", "stave"), nil
}
