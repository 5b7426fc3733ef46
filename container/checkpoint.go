// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"stave/namespaces"
)

// Images say where CRIU keeps the images of a container, and what processes may have that it doesn't take by itself. Of
// a checkpoint and of its restore they should be the same.
type Images struct {
	// Path is the folder of the images; a checkpoint makes it.
	Path string
	// Work is the folder of CRIU's log and other files that nobody needs later; "" for that of the images.
	Work string
	// TCPEstablished takes open TCP connections along, ExternalSockets unix sockets whose other end is outside, ShellJob a
	// session that began outside, FileLocks locks on files.
	TCPEstablished, ExternalSockets, ShellJob, FileLocks bool
	// AutoDedup frees what of older images is in newer ones, too.
	AutoDedup bool
	// LazyPages leaves memory where it is until it is needed (criu lazy-pages).
	LazyPages bool
	// Cgroups says what of the cgroups is kept: soft, full, strict, ignore; "" for CRIU's choice, soft.
	Cgroups string
}

// CheckpointOptions say how a container is written into images.
type CheckpointOptions struct {
	Images
	// Parent is the folder of an earlier [CheckpointOptions].PreDump, relative to Path: only what has changed since is written.
	Parent string
	// LeaveRunning lets the container go on afterwards; otherwise it is deleted.
	LeaveRunning bool
	// PreDump writes memory alone, and lets the container go on.
	PreDump bool
	// PageServer is the ADDRESS:PORT of a page server that takes the memory, or, with LazyPages, at which CRIU gives it away.
	PageServer string
	// StatusFD, if greater than 0, is a descriptor that gets one zero byte when CRIU waits for requests for lazy pages.
	StatusFD int
	// Notice, if set, is told of poststop hooks that failed.
	Notice func(string)
}

// RestoreOptions say how a container is made of images.
type RestoreOptions struct {
	Options
	Images
	// NoSubreaper is as in [RunOptions].
	NoSubreaper bool
	// Profile is another label of a security module than the checkpoint has, TYPE:NAME, and MountContext another SELinux
	// context of mounts.
	Profile, MountContext string
}

// cgroupModes are the words for what is done about cgroups.
func cgroupModes() map[string]rpc.CriuCgMode {
	return map[string]rpc.CriuCgMode{
		"soft": rpc.CriuCgMode_SOFT, "full": rpc.CriuCgMode_FULL, "strict": rpc.CriuCgMode_STRICT, "ignore": rpc.CriuCgMode_IGNORE,
	}
}

// check refuses what CRIU would not understand.
func (m Images) check() error {
	if _, known := cgroupModes()[m.Cgroups]; m.Cgroups != "" && !known {
		return fmt.Errorf("--manage-cgroups-mode %q: one of soft, full, strict, ignore", m.Cgroups)
	}
	if m.Path == "" {
		return fmt.Errorf("--image-path: the folder for the images is missing")
	}
	return nil
}

// log is where CRIU writes its log of that name.
func (m Images) log(name string) string {
	if m.Work != "" {
		return filepath.Join(m.Work, name)
	}
	return filepath.Join(m.Path, name)
}

// request is what checkpoint and restore ask for alike. A network namespace is always made empty: its devices are for
// those who made them to make again, as with runc.
func (m Images) request(log string, annotations map[string]string) *rpc.CriuOpts {
	const everything = 4 // of CRIU's log levels: debug
	r := &rpc.CriuOpts{
		LogLevel: new(int32(everything)), LogFile: new(log), NotifyScripts: new(true), OrphanPtsMaster: new(true),
		ManageCgroups: new(true), EmptyNs: new(uint32(unix.CLONE_NEWNET)),
		TcpEstablished: new(m.TCPEstablished), ExtUnixSk: new(m.ExternalSockets), ShellJob: new(m.ShellJob),
		FileLocks: new(m.FileLocks), AutoDedup: new(m.AutoDedup), LazyPages: new(m.LazyPages),
	}
	if mode, ok := cgroupModes()[m.Cgroups]; ok {
		r.ManageCgroupsMode = new(mode)
	}
	// Settings of the administrator's, which CRIU reads by itself if the file is there, go before these.
	file, asked := annotations["org.criu.config"]
	if !asked {
		file = "/etc/criu/runc.conf"
	}
	if file != "" {
		r.ConfigFile = new(file)
	}
	return r
}

// check refuses what can't be done.
func (o CheckpointOptions) check() error {
	switch {
	case filepath.IsAbs(o.Parent):
		return fmt.Errorf("--parent-path %s: give it relative to --image-path, as the images refer to it that way", o.Parent)
	case o.PageServer != "" && o.pageServer() == nil:
		return fmt.Errorf("--page-server %q: ADDRESS:PORT", o.PageServer)
	case o.StatusFD > 0 && !o.LazyPages:
		return fmt.Errorf("--status-fd: it tells when lazy pages can be asked for; give --lazy-pages, too")
	case o.LazyPages && o.PageServer == "":
		return fmt.Errorf("--lazy-pages: at which address? Give --page-server ADDRESS:PORT, too")
	case o.LazyPages && o.PreDump:
		return fmt.Errorf("--pre-dump writes memory, and --lazy-pages leaves it where it is: only one of them can be done")
	}
	return o.Images.check()
}

// pageServer reads the address; nil where it is none.
func (o CheckpointOptions) pageServer() *rpc.CriuPageServerInfo {
	host, port, err := net.SplitHostPort(o.PageServer)
	number, err2 := strconv.ParseUint(port, 10, 16)
	if err != nil || err2 != nil || host == "" || number == 0 {
		return nil
	}
	return &rpc.CriuPageServerInfo{Address: new(host), Port: new(int32(number))}
}

// dump is the request for a checkpoint.
func (o CheckpointOptions) dump(b *Bundle, pid int, freezer string) *rpc.CriuOpts {
	r := o.request(dumpLog, b.Spec.Annotations)
	r.Pid, r.Root, r.LeaveRunning = new(int32(pid)), new(b.rootPath()), new(o.LeaveRunning)
	if freezer != "" {
		r.FreezeCgroup = new(freezer)
	}
	if o.PageServer != "" {
		r.Ps = o.pageServer()
	}
	if o.Parent != "" {
		r.ParentImg, r.TrackMem = new(o.Parent), new(true)
	}
	return r
}

// check refuses what can't be done.
func (o RestoreOptions) check() error {
	if o.NoPivot {
		return fmt.Errorf("--no-pivot: CRIU always changes the root by pivot_root; put the bundle on another file system than the initial ramfs")
	}
	if kind, name, _ := strings.Cut(o.Profile, ":"); o.Profile != "" && (name == "" || kind != "apparmor" && kind != "selinux") {
		return fmt.Errorf("--lsm-profile %q: apparmor:NAME or selinux:NAME", o.Profile)
	}
	return o.Images.check()
}

// restore is the request for a restore. The root is a mount point.
func (o RestoreOptions) restore(b *Bundle, root string) *rpc.CriuOpts {
	r := o.request(restoreLog, b.Spec.Annotations)
	r.Root, r.RstSibling, r.EvasiveDevices = new(root), new(true), new(true)
	if o.Profile != "" {
		r.LsmProfile = new(o.Profile)
	}
	if o.MountContext != "" {
		r.LsmMountContext = new(o.MountContext)
	}
	return r
}

// Names of files of a checkpoint: CRIU's logs, and what the standard streams were.
const (
	dumpLog         = "dump.log"
	restoreLog      = "restore.log"
	descriptorsFile = "descriptors.json"
)

// stageName is the folder, in that of the container, where CRIU works.
const stageName = "criu"

// checkRestorable refuses configurations that CRIU could not make again: better no images than useless ones.
func checkRestorable(s *specs.Spec, joined map[namespaces.Kind]bool) error {
	for _, kind := range []namespaces.Kind{namespaces.Mount, namespaces.Cgroup, namespaces.Time} {
		if joined[kind] {
			return fmt.Errorf("linux.namespaces: the container has joined a %s namespace, and CRIU can't join one: it makes new ones", kind)
		}
	}
	if s.Linux != nil && len(s.Linux.Namespaces) > 0 && !slices.ContainsFunc(s.Linux.Namespaces, isMount) {
		return errors.New("linux.namespaces: without a mount namespace the mounts are the host's, and CRIU would not make them again")
	}
	for field, is := range map[string]bool{
		"process.ioPriority": s.Process != nil && s.Process.IOPriority != nil, "linux.intelRdt": s.Linux != nil && s.Linux.IntelRdt != nil,
		"linux.memoryPolicy": s.Linux != nil && s.Linux.MemoryPolicy != nil, "linux.netDevices": s.Linux != nil && len(s.Linux.NetDevices) > 0,
	} {
		if is {
			return fmt.Errorf("%s: CRIU would restore the container without", field)
		}
	}
	for _, m := range s.Mounts {
		mapped := func(option string) bool { return option == "idmap" || option == "ridmap" }
		if len(m.UIDMappings)+len(m.GIDMappings) > 0 || slices.ContainsFunc(m.Options, mapped) {
			return fmt.Errorf("mount on %s: it is id-mapped, and CRIU would restore it without", m.Destination)
		}
	}
	return nil
}

// leftOutside are the kinds of namespaces that CRIU leaves as they are when they are joined, with the names that images have
// for them, as with runc. All others it writes into the images, and joins by a path.
func leftOutside() map[namespaces.Kind]string {
	return map[namespaces.Kind]string{namespaces.Network: "extRootNetNS", namespaces.PID: "extRootPidNS"}
}
