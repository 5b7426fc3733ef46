// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/cgroups"
	"stave/kernel"
	"stave/namespaces"
)

// Checkpoint writes a container that runs, or is paused, into images by CRIU, of which [Restore] makes it again, and deletes
// it, unless the options let it go on. After an error it goes on as if nothing had been asked; CRIU's log stays.
func (i *Instance) Checkpoint(o CheckpointOptions) error {
	if err := errors.Join(o.check(), needRoot()); err != nil {
		return err
	}
	if err := i.relock(); err != nil {
		return err
	}
	s, err := i.stateLocked()
	if err != nil {
		return err
	}
	if s.Status != specs.StateRunning && s.Status != Paused {
		return fmt.Errorf("%w: container %s cannot be checkpointed in the state %s", ErrNotRunning, i.ID, s.Status)
	}
	b, err := i.bundle()
	if err != nil {
		return err
	}
	if err := i.dump(b, s.Pid, o); err != nil || o.LeaveRunning || o.PreDump {
		return err
	}
	if err := i.destroy(); err != nil {
		return err
	}
	Options{ID: i.ID, Notice: o.Notice}.poststop(b)
	return nil
}

// needRoot refuses a caller who is not root: CRIU reads and makes what belongs to the kernel.
func needRoot() error {
	if uid := os.Geteuid(); uid != 0 {
		return fmt.Errorf("user %d can't checkpoint or restore containers: CRIU needs root's rights", uid)
	}
	return nil
}

// dump lets CRIU write the images.
func (i *Instance) dump(b *Bundle, pid int, o CheckpointOptions) error {
	request, keys, err := i.dumpRequest(b, pid, o)
	if err != nil {
		return err
	}
	c, err := newCRIU()
	if err != nil {
		return err
	}
	defer c.end()
	if err := o.make(true); err != nil {
		return err
	}
	layout, err := cgroups.Read()
	if err != nil {
		return err
	}
	stage := stage{folder: i.path(stageName), cgroups: layout}
	request.CgroupYard = new(stage.yard())
	defer stage.clear()
	if err := stage.make(); err != nil {
		return err
	}
	clone := []kernel.Call{{Request: kernel.Clone{Flags: unix.CLONE_NEWNS}, Why: "a process for CRIU, with mounts of its own"}}
	if err := c.start(clone, stage.calls(), nil, kernel.Options{}); err != nil {
		return fmt.Errorf("start CRIU: %w", err)
	}
	if err := c.check(o.features()); err != nil {
		return err
	}
	folders, err := o.open(request, c.process.Pid)
	if err != nil {
		return err
	}
	defer closeAll(folders)
	kind := rpc.CriuReqType_DUMP
	if o.PreDump {
		kind = rpc.CriuReqType_PRE_DUMP
	} else if err := putDescriptors(o.Path, keys); err != nil {
		return err
	}
	if _, err := c.ask(&rpc.CriuReq{Type: &kind, Opts: request}, o.told); err != nil {
		return c.failure("checkpoint of "+i.ID, o.log(dumpLog), err)
	}
	return nil
}

// told acts on what CRIU says meanwhile.
func (o CheckpointOptions) told(n *rpc.CriuNotify, _ []int) error {
	if n.GetScript() != "status-ready" || o.StatusFD <= 0 {
		return nil
	}
	if _, err := unix.Write(o.StatusFD, []byte{0}); err != nil {
		return fmt.Errorf("--status-fd %d: %w", o.StatusFD, err)
	}
	return nil
}

// features are those that are asked for, and that not every kernel has; nil for none.
func (o CheckpointOptions) features() *rpc.CriuFeatures {
	if !o.PreDump && o.Parent == "" && !o.LazyPages {
		return nil
	}
	return &rpc.CriuFeatures{MemTrack: new(o.PreDump || o.Parent != ""), LazyPages: new(o.LazyPages)}
}

// dumpRequest says what is to be written, with what is outside of the container; keys stand for its streams.
func (i *Instance) dumpRequest(b *Bundle, pid int, o CheckpointOptions) (r *rpc.CriuOpts, keys []string, err error) {
	p, err := i.planned(b, pid)
	if err != nil {
		return nil, nil, err
	}
	freezer, _ := i.Cgroup.Folder("freezer")
	r = o.dump(b, pid, freezer.Path)
	mountinfo, err := kernel.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		return nil, nil, err
	}
	list, err := p.lentInside(fmt.Sprintf("/proc/%d/root", pid))
	if err != nil {
		return nil, nil, err
	}
	list = slices.DeleteFunc(list, func(l lent) bool { return l.file && isFolder(fmt.Sprintf("/proc/%d/root%s", pid, l.inside)) })
	mounts, err := p.mounts()
	if err != nil {
		return nil, nil, err
	}
	r.ExtMnt = externals(withMountsInside(list, mountPoints(string(mountinfo)), places(mounts)), false)
	for kind, name := range leftOutside() {
		if !p.joined[kind] {
			continue
		}
		inode, err := inodeOf(kind.Path(pid))
		if err != nil {
			return nil, nil, err
		}
		r.External = append(r.External, fmt.Sprintf("%s[%d]:%s", kind, inode, name))
	}
	keys = i.streamKeys(pid, mountIDs(string(mountinfo)))
	for _, key := range keys {
		if strings.HasPrefix(key, "file[") && !slices.Contains(r.External, key) {
			r.External = append(r.External, key)
		}
	}
	return r, keys, nil
}

// planned plans as much of a container that runs as tells what of it is outside.
func (i *Instance) planned(b *Bundle, pid int) (*planner, error) {
	f := Facts{UID: os.Geteuid(), Root: cgroups.Root(), Group: i.Cgroup, Unit: i.Unit, Ours: map[string]bool{}}
	var err error
	if f.Cgroups, err = cgroups.Read(); err != nil {
		return nil, err
	}
	for _, n := range b.Spec.Linux.Namespaces {
		if kind, err := namespaces.KindOf(string(n.Type)); err == nil && n.Path != "" {
			f.Ours[n.Path] = sameNamespace(pid, kind)
		}
	}
	p := &planner{bundle: b, spec: b.Spec, facts: f, options: Options{ID: i.ID}, joined: map[namespaces.Kind]bool{}}
	if err := p.namespaces(); err != nil {
		return nil, err
	}
	return p, checkRestorable(b.Spec, p.joined)
}

// lentInside is lent, with the places that the mounts have in a root folder: where links in it lead to.
func (p *planner) lentInside(root string) ([]lent, error) {
	list, err := p.lent()
	if err != nil {
		return nil, err
	}
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(dir)
	for n := range list {
		list[n].inside = resolveInside(dir, list[n].inside)
	}
	return list, nil
}

// resolveInside follows the links of a path in a root folder, as far as there is something.
func resolveInside(root int, name string) string {
	if name == "/" {
		return name
	}
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(root, name, &how)
	if err != nil {
		return filepath.Join(resolveInside(root, filepath.Dir(name)), filepath.Base(name))
	}
	defer unix.Close(fd)
	top, err1 := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", root))
	found, err2 := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
	if rest, ok := below(found, top); ok && err1 == nil && err2 == nil {
		return rest
	}
	return name
}

// isFolder tells whether a path is that of a folder: such a path is not masked by a file.
func isFolder(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && info.IsDir()
}

// inodeOf returns the inode number of a file.
func inodeOf(name string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat(name, &st); err != nil {
		return 0, &os.PathError{Op: "stat", Path: name, Err: err}
	}
	return st.Ino, nil
}

// streams tells what the standard streams of the caller are, which become the container's.
func streams(s *specs.Spec) []string {
	if s.Process.Terminal {
		return nil
	}
	var list []string
	for fd := range 3 {
		what, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", fd))
		if err != nil {
			what = ""
		}
		list = append(list, what)
	}
	return list
}

// streamKeys names the standard streams of a container as CRIU does: pipes by what they were at first, as processes may have
// moved them, and files that are in none of the container's mounts.
func (i *Instance) streamKeys(pid int, mounts []string) []string {
	keys := slices.Clone(i.Streams)
	for fd, was := range keys {
		if strings.HasPrefix(was, "pipe:") {
			continue
		}
		info, err := kernel.ReadFile(fmt.Sprintf("/proc/%d/fdinfo/%d", pid, fd))
		id := mountIDOf(string(info))
		if err != nil || id == "" || slices.Contains(mounts, id) {
			continue
		}
		number, err1 := strconv.Atoi(id)
		inode, err2 := inodeOf(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
		if !strings.HasPrefix(was, "socket:") && err1 == nil && err2 == nil {
			keys[fd] = fmt.Sprintf("file[%x:%x]", number, inode)
		}
	}
	return keys
}

// mountIDOf reads the mount of an open file (proc_pid_fdinfo(5)).
//
//	pos:	0
//	flags:	0100002
//	mnt_id:	29
func mountIDOf(fdinfo string) string {
	for line := range strings.Lines(fdinfo) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return strings.TrimSpace(id)
		}
	}
	return ""
}

// putDescriptors writes what the streams were, for the restore.
func putDescriptors(folder string, keys []string) error {
	text, err := json.Marshal(keys)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, descriptorsFile), text, 0o600)
}

// open opens the folders, where CRIU finds them by our descriptors: as its process, which has mounts of its own, sees them.
// It can't work on mounts that it doesn't see.
func (m Images) open(r *rpc.CriuOpts, pid int) (opened []int, err error) {
	root := fmt.Sprintf("/proc/%d/root", pid)
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: root, Err: err}
	}
	defer unix.Close(dir)
	for _, f := range []struct {
		option, name string
		to           **int32
	}{{"--image-path", m.Path, &r.ImagesDirFd}, {"--work-path", m.Work, &r.WorkDirFd}} {
		if f.name == "" {
			continue
		}
		fd, err := openBelow(dir, f.name)
		if err != nil {
			closeAll(opened)
			return nil, fmt.Errorf("%s: %w", f.option, err)
		}
		opened = append(opened, fd)
		*f.to = new(int32(fd))
	}
	return opened, nil
}

// openBelow opens a folder by its path, as seen from a root.
func openBelow(root int, name string) (int, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return -1, err
	}
	how := unix.OpenHow{Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT}
	fd, err := unix.Openat2(root, name, &how)
	if err != nil {
		return -1, &os.PathError{Op: "open", Path: name, Err: err}
	}
	return fd, nil
}

// make makes the folders that CRIU writes to where they are missing.
func (m Images) make(images bool) error {
	if images {
		if err := os.MkdirAll(m.Path, 0o700); err != nil {
			return fmt.Errorf("--image-path: %w", err)
		}
	}
	if m.Work == "" {
		return nil
	}
	if err := os.MkdirAll(m.Work, 0o700); err != nil {
		return fmt.Errorf("--work-path: %w", err)
	}
	return nil
}

// closeAll closes descriptors.
func closeAll(list []int) {
	for _, fd := range list {
		unix.Close(fd)
	}
}
