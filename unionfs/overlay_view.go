// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// View mounts the root where only this process sees it. A container that runs has its own mount of the same upper folder, and overlay
// does not keep two in step: look at such a one through /proc/PID/root.
func (o Overlay) View(_ context.Context, s Stack) (string, func() error, error) {
	done := func() error { return nil }
	if s.Volatile && !s.ReadOnly {
		marked, err := allowVolatile(s.Dir)
		if err != nil {
			return "", nil, err
		}
		if !marked { // then the container can be started as it was prepared
			done = func() error { return os.RemoveAll(volatileMark(s.Dir)) }
		}
	}
	tree, err := o.mount(s).detached()
	if err != nil {
		return "", nil, fmt.Errorf("overlay: show %s: %w", s.Dir, err)
	}
	// The last dot makes it a folder for those who don't follow links.
	return fmt.Sprintf("/proc/self/fd/%d/.", tree), func() error { return errors.Join(unix.Close(tree), done()) }, nil
}

// detached makes the mount, attached nowhere, and returns its descriptor.
func (m OverlayMount) detached() (int, error) {
	if m.Dir != "" {
		return m.detachedByMount()
	}
	context, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("fsopen overlay: %w", err)
	}
	defer unix.Close(context)
	for _, p := range m.parameters() {
		if p.flag {
			err = unix.FsconfigSetFlag(context, p.key)
		} else {
			err = unix.FsconfigSetString(context, p.key, p.value)
		}
		if err != nil {
			return -1, fmt.Errorf("option %s: %w", strings.TrimSuffix(p.key+"="+p.value, "="), told(context, err))
		}
	}
	if err := unix.FsconfigCreate(context); err != nil {
		return -1, fmt.Errorf("make the overlay: %w", told(context, err))
	}
	tree, err := unix.Fsmount(context, unix.FSMOUNT_CLOEXEC, m.attributes())
	if err != nil {
		return -1, fmt.Errorf("mount the overlay: %w", err)
	}
	return tree, nil
}

// detachedByMount makes it with mount(2), which attaches what it makes: in a mount namespace of a thread that ends with it. A copy
// that is attached nowhere stays (open_tree(2), Linux 5.2).
func (m OverlayMount) detachedByMount() (int, error) {
	type result struct {
		tree int
		err  error
	}
	made := make(chan result)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends here
		tree, err := m.mountAside()
		made <- result{tree, err}
	}()
	r := <-made
	return r.tree, r.err
}

// mountAside moves the calling thread to a mount namespace of its own, mounts there and takes a copy.
func (m OverlayMount) mountAside() (int, error) {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return -1, fmt.Errorf("unshare the mount namespace: %w", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return -1, fmt.Errorf("cut the mounts off from the host's: %w", err)
	}
	if err := unix.Chdir(m.Dir); err != nil {
		return -1, fmt.Errorf("go to %s: %w", m.Dir, err)
	}
	if err := unix.Mount("overlay", m.Target, "overlay", m.flags(), m.data()); err != nil {
		return -1, fmt.Errorf("mount overlay with %s in %s: %w", m.data(), m.Dir, err)
	}
	tree, err := unix.OpenTree(unix.AT_FDCWD, m.Target, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return -1, fmt.Errorf("open_tree %s: %w", m.Target, err)
	}
	return tree, nil
}

// told adds what the file system wrote about an error into its context (fsopen(2), "Message retrieval").
func told(context int, err error) error {
	var words []string
	message := make([]byte, 512)
	for {
		n, e := unix.Read(context, message)
		if e != nil || n <= 0 {
			break
		}
		if text, found := strings.CutPrefix(string(message[:n]), "e "); found {
			words = append(words, strings.TrimSpace(text))
		}
	}
	if len(words) == 0 {
		return err
	}
	return fmt.Errorf("%w (%s)", err, strings.Join(words, "; "))
}

// oneByOne says whether the kernel's overlay takes lower folders one by one, by trying: one that does takes a folder and refuses the
// parameter without a value, and the older ones refuse both, or note all words until they mount (fs/fs_context.c, legacy_parse_param).
func oneByOne() bool {
	context, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(context)
	return unix.FsconfigSetString(context, "lowerdir+", "/") == nil && unix.FsconfigSetFlag(context, "lowerdir+") != nil
}

// bootFile has the number that the kernel gives to each boot of the machine (random(4)).
const bootFile = "/proc/sys/kernel/random/boot_id"

// volatileMark is the kernel's mark in a container's folder.
func volatileMark(dir string) string {
	return filepath.Join(dir, "work", "work", "incompat", "volatile")
}

// allowVolatile lets a volatile overlay be mounted again, and says whether it was before. The kernel leaves a mark when it mounts one and
// refuses the next mount, because what was written may be lost in part if the machine went down in between. The driver keeps the boot
// beside it: within one boot nothing is lost, and the mark is taken away.
func allowVolatile(dir string) (marked bool, err error) {
	boot, err := os.ReadFile(bootFile)
	if err != nil {
		return false, fmt.Errorf("overlay: %w", err)
	}
	file := filepath.Join(dir, "volatile")
	kept, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false, os.WriteFile(file, boot, 0o644)
	}
	if err != nil {
		return false, fmt.Errorf("overlay: %w", err)
	}
	_, err = os.Lstat(volatileMark(dir))
	if errors.Is(err, fs.ErrPermission) { // overlay's folder has mode 0, which stops all but root
		err = os.Chmod(filepath.Join(dir, "work", "work"), 0o700)
		if err == nil {
			_, err = os.Lstat(volatileMark(dir))
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, os.WriteFile(file, boot, 0o644)
	case err != nil:
		return false, fmt.Errorf("overlay: %w", err)
	case string(kept) != string(boot):
		return true, fmt.Errorf("overlay: %s is volatile, and the machine went down after it was mounted: what was written may be damaged; remove the container", dir)
	}
	return true, os.RemoveAll(volatileMark(dir))
}
