// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/namespaces"
)

// restoration is a container that CRIU is about to make of images.
type restoration struct {
	*launch
	options     RestoreOptions
	plan        *planner
	descriptors []int // that CRIU is given
	folders     []int
	pid         int // of the container's process, 0 before it is there
}

// Restore makes a container of a bundle and the images of an [Instance.Checkpoint], and lets it run: as [Run] does until its
// end, or with Detach in the background. Hooks of the points prestart and createRuntime are run when its namespaces are
// made, as runc does; no others are. After an error nothing is left but CRIU's log.
func Restore(b *Bundle, o RestoreOptions) (code int, err error) {
	if err := errors.Join(o.check(), needRoot()); err != nil {
		return 0, err
	}
	if _, err := findCRIU(); err != nil {
		return 0, err
	}
	l, err := prepare(b, o.Options)
	if err != nil {
		return 0, err
	}
	l.restored = true
	r := &restoration{launch: l, options: o}
	defer r.close()
	if o.Detach {
		return 0, r.detach()
	}
	defer o.poststop(b)
	defer func() { err = errors.Join(err, l.end(false)) }()
	if err := l.claim.take(l.facts.ours()); err != nil {
		return 0, fmt.Errorf("linux.cgroupsPath: %w", err)
	}
	if !o.NoSubreaper {
		if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
			return 0, fmt.Errorf("become the reaper of the container's orphans: %w", err)
		}
	}
	status, _, err := l.attend(false, func(cloned func()) (int, error) {
		err := r.do(cloned)
		return r.pid, err
	})
	if err != nil {
		return 0, err
	}
	o.outOfMemory(l.facts.Group)
	return exitCode(status), l.leave()
}

// close closes what CRIU was given.
func (r *restoration) close() {
	closeAll(r.descriptors)
	closeAll(r.folders)
}

// detach restores the container and leaves it to itself.
func (r *restoration) detach() error {
	if err := r.do(r.claim.pass); err != nil {
		return errors.Join(err, removeAbove(r.facts.ours()), r.abandon())
	}
	r.release()
	r.claim.pass()
	return r.instance.Close()
}

// do restores. After an error no process is left and no cgroup, but the folder is.
func (r *restoration) do(cloned func()) error {
	request, err := r.request()
	if err != nil {
		return err
	}
	c, err := newCRIU()
	if err != nil {
		return err
	}
	stage := r.stage()
	host, own, err := r.plan.around(stage)
	if err == nil {
		err = stage.make()
	}
	if err == nil {
		err = explain(c.start(host, own, r.descriptors, kernel.Options{Cloned: cloned}))
	}
	made := err == nil // the cgroup; when the start failed it has been taken back
	if err == nil {
		err = c.check(nil)
	}
	if err == nil {
		err = r.ask(c, request)
	}
	c.end()
	err = errors.Join(err, stage.clear())
	if err != nil && made {
		err = errors.Join(err, r.undo())
	}
	return err
}

// ask lets CRIU restore into its own cgroup.
func (r *restoration) ask(c *criu, request *rpc.CriuOpts) (err error) {
	if r.folders, err = r.options.open(request, c.process.Pid); err != nil {
		return err
	}
	if request.CgRoot, err = cgroupRoots(c.process.Pid); err != nil {
		return err
	}
	if _, err := c.ask(&rpc.CriuReq{Type: new(rpc.CriuReqType_RESTORE), Opts: request}, r.told); err != nil {
		return c.failure("restore of "+r.options.ID, r.options.log(restoreLog), err)
	}
	if r.pid == 0 {
		return errors.New("restore by CRIU: it has not told the number of the container's process")
	}
	return nil
}

// undo ends what was restored, and removes its cgroup.
func (r *restoration) undo() error {
	var errs []error
	if r.pid != 0 {
		errs = append(errs, r.instance.end())
		if r.options.PidFile != "" {
			errs = append(errs, os.Remove(r.options.PidFile))
		}
	}
	return errors.Join(append(errs, r.leave())...)
}

// stage is where CRIU works.
func (r *restoration) stage() stage {
	return stage{folder: r.instance.path(stageName), cgroups: r.facts.Cgroups, root: true}
}

// make makes the folders.
func (s stage) make() error {
	for _, dir := range s.folders() {
		if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) { // of a checkpoint that was killed
			return err
		}
	}
	return nil
}

// clear removes them again. On the host they are empty.
func (s stage) clear() error {
	var errs []error
	for _, dir := range slices.Backward(s.folders()) {
		if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// request says what CRIU is to make, and of what outside.
func (r *restoration) request() (*rpc.CriuOpts, error) {
	var err error
	if r.plan, err = newPlan(r.bundle, r.facts, r.options.Options); err != nil {
		return nil, err
	}
	if err := checkRestorable(r.bundle.Spec, r.plan.joined); err != nil {
		return nil, err
	}
	request := r.options.restore(r.bundle, r.stage().rootFolder())
	request.CgroupYard = new(r.stage().yard())
	request.MntnsCompatMode = new(r.plan.own(namespaces.User)) // the newer way can't place what is lent there (CRIU 3.17)
	if err := r.options.make(false); err != nil {
		return nil, err
	}
	lent, err := r.plan.lentInside(r.bundle.rootPath())
	if err != nil {
		return nil, err
	}
	mountinfo, err := kernel.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	request.ExtMnt = externals(withMountsOutside(lent, mountPoints(string(mountinfo))), true)
	if err := r.namespaces(request); err != nil {
		return nil, err
	}
	return request, r.streams(request)
}

// namespaces gives CRIU those that the container joins.
func (r *restoration) namespaces(request *rpc.CriuOpts) error {
	for _, n := range r.bundle.Spec.Linux.Namespaces {
		kind, err := namespaces.KindOf(string(n.Type))
		if err != nil || n.Path == "" || !r.plan.joined[kind] {
			continue
		}
		name, left := leftOutside()[kind]
		if !left {
			request.JoinNs = append(request.JoinNs, &rpc.JoinNamespace{Ns: new(string(kind)), NsFile: new(n.Path)})
			continue
		}
		fd, err := unix.Open(n.Path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("linux.namespaces: %w", &os.PathError{Op: "open", Path: n.Path, Err: err})
		}
		r.give(request, name, fd)
	}
	return nil
}

// give passes a descriptor on, by a name of the images.
func (r *restoration) give(request *rpc.CriuOpts, name string, fd int) {
	r.descriptors = append(r.descriptors, fd)
	request.InheritFd = append(request.InheritFd, &rpc.InheritFd{Key: new(name), Fd: new(int32(fd))})
}

// streams gives CRIU our standard streams in the place of those that the container had from outside.
func (r *restoration) streams(request *rpc.CriuOpts) error {
	name := filepath.Join(r.options.Path, descriptorsFile)
	text, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("--image-path: are these the images of a container? %w", err)
	}
	var keys []string
	if err := json.Unmarshal(text, &keys); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	given := map[string]bool{}
	for fd, key := range keys {
		if fd > 2 || given[key] || !strings.HasPrefix(key, "pipe:") && !strings.HasPrefix(key, "file[") {
			continue
		}
		if _, err := unix.Seek(fd, 0, unix.SEEK_CUR); strings.HasPrefix(key, "file[") && err != nil {
			return fmt.Errorf("standard stream %d: it was a file or /dev/null at the checkpoint, where CRIU goes on at the same place, and now it is none: redirect it", fd)
		}
		const first = 3 // above the streams, which CRIU has for itself
		copied, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, first)
		if err != nil {
			return fmt.Errorf("standard stream %d: %w", fd, err)
		}
		given[key] = true
		r.give(request, key, copied)
	}
	return nil
}

// cgroupRoots names the cgroups of a process (proc_pid_cgroup(5)), in which what it restores is to be: in all hierarchies.
//
//	4:memory:/lab
//	1 2      3
func cgroupRoots(pid int) ([]*rpc.CgroupRoot, error) {
	text, err := kernel.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, err
	}
	var roots []*rpc.CgroupRoot
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		root := &rpc.CgroupRoot{Path: new(fields[2])}
		if fields[1] != "" {
			root.Ctrl = new(fields[1])
		}
		roots = append(roots, root)
	}
	return roots, nil
}

// told acts on what CRIU says while it restores.
func (r *restoration) told(n *rpc.CriuNotify, descriptors []int) error {
	switch n.GetScript() {
	case "setup-namespaces":
		return r.setUp(int(n.GetPid()))
	case "post-restore":
		return r.note(int(n.GetPid()))
	case "orphan-pts-master":
		socket, ok := r.slots[slotConsole]
		if !ok || len(descriptors) != 1 {
			return errors.New("the images have a terminal, and the configuration has none (process.terminal): restore from the bundle of the checkpoint")
		}
		return unix.Sendmsg(socket, []byte{0}, unix.UnixRights(descriptors[0]), nil, unix.MSG_NOSIGNAL)
	}
	return nil
}

// setUp does what a container's new namespaces need from outside.
func (r *restoration) setUp(pid int) error {
	if r.plan.hasNew(namespaces.Network) {
		if err := loopbackUp(pid); err != nil {
			return fmt.Errorf("bring up the network device lo: %w", err)
		}
	}
	state := r.bundle.stateOf(specs.State{ID: r.options.ID, Pid: pid}, specs.StateCreating)
	for _, point := range []string{pointPrestart, pointCreateRuntime} {
		for n, hook := range hooksAt(r.bundle.Spec.Hooks, point) {
			if err := runHook(hook, state); err != nil {
				return fmt.Errorf("%s: %w", hookWords(point, n+1, hook), err)
			}
		}
	}
	return nil
}

// loopbackUp brings up lo in the network namespace of a process (netdevice(7)).
func loopbackUp(pid int) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine: it is in another namespace
		done <- func() error {
			fd, err := unix.Open(namespaces.Network.Path(pid), unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := unix.Setns(fd, unix.CLONE_NEWNET); err != nil {
				return err
			}
			socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(socket)
			lo, err := unix.NewIfreq("lo")
			if err != nil {
				return err
			}
			lo.SetUint16(unix.IFF_UP)
			return unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, lo)
		}()
	}()
	return <-done
}

// note keeps the container's process where other commands find it. It stands still until CRIU gets the answer.
func (r *restoration) note(pid int) error {
	r.pid = pid
	if r.options.PidFile != "" {
		if err := putFile(r.options.PidFile, []byte(strconv.Itoa(pid))); err != nil {
			return fmt.Errorf("--pid-file: %w", err)
		}
	}
	l, err := lifeOf(pid)
	if err != nil {
		return err
	}
	return putFile(r.instance.path(pidName), []byte(l.String()))
}
