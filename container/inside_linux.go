// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/security"
)

// homeOf returns the home folder of the command's user by the root folder's passwd(5), and "" where the
// configuration has the variable HOME. A user, or a passwd, that is not known has the home "/".
func homeOf(root string, process *specs.Process) string {
	if slices.ContainsFunc(process.Env, func(pair string) bool { return strings.HasPrefix(pair, "HOME=") }) {
		return ""
	}
	_, home, err := lookUser(root, fmt.Sprintf("%d:%d", process.User.UID, process.User.GID))
	if err != nil {
		return "/"
	}
	return home
}

// home is homeOf of the bundle's command. The passwd may be a file of the host that is bound over the image's.
func (b *Bundle) home() string {
	home := homeOf(b.viewPath(), b.Spec.Process)
	for _, m := range b.Spec.Mounts {
		if home == "" || !isBind(m) || path.Clean("/"+m.Destination) != "/etc/passwd" {
			continue
		}
		file, err := openRegular(b.source(m))
		if err != nil {
			return home // the mount says what is wrong
		}
		defer file.Close()
		user := fmt.Sprintf("%d:%d", b.Spec.Process.User.UID, b.Spec.Process.User.GID)
		if _, home, err = security.LookUser(user, file, strings.NewReader("")); err != nil {
			home = "/"
		}
	}
	return home
}

// openRegular opens a file, if it is one: opening a pipe could wait for ever.
func openRegular(name string) (*os.File, error) {
	fd, err := unix.Open(name, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: name, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, &os.PathError{Op: "read", Path: name, Err: unix.EINVAL}
	}
	return os.NewFile(uintptr(fd), name), nil
}

// modeInside returns the permissions of a folder below the root folder, and false if it is not there.
// As in readInside, no link leads out.
func modeInside(root, name string) (mode uint32, found bool) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, false
	}
	defer unix.Close(dir)
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(dir, name, &how)
	if err != nil {
		return 0, false
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return 0, false
	}
	return st.Mode & 0o7777, true
}
