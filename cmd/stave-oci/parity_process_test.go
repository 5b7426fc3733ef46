// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// processParity are fields of the process: users, rights, limits, environment, terminal, descriptors.
func processParity() map[string]parity {
	process := func(f func(*specs.Process)) change {
		return func(s *specs.Spec) { f(s.Process) }
	}
	return map[string]parity{
		"user without groups": {changes: []change{process(func(p *specs.Process) { p.User = specs.User{UID: 7} })}},
		"root with groups":    {changes: []change{process(func(p *specs.Process) { p.User = specs.User{AdditionalGids: []uint32{9, 8, 0}} })}},
		"group only":          {changes: []change{process(func(p *specs.Process) { p.User = specs.User{GID: 77, Umask: new(uint32(0o777))} })}},
		"user of a great id":  {changes: []change{process(func(p *specs.Process) { p.User = specs.User{UID: 2147483647, GID: 2147483647} })}},
		"user of the image":   {prepare: passwd, changes: []change{process(func(p *specs.Process) { p.User = specs.User{UID: 12, GID: 12} })}},
		"home of root":        {prepare: passwd},
		"users bound over the image's": {
			prepare: func(t *testing.T, dir string) {
				put(t, filepath.Join(dir, "file"), "root:x:0:0::/tmp:/bin/sh\n", 0o644)
			},
			changes: []change{addMount("/etc/passwd", "bind", "file", "bind", "ro")},
		},
		"command without PATH": {changes: []change{process(func(p *specs.Process) { p.Env, p.Args[0] = nil, "/bin/sh" })}},
		"command by another PATH": {changes: []change{process(func(p *specs.Process) {
			p.Env = []string{"PATH=/nowhere:/bin", "TERM=x", "LANG=C.UTF-8"}
		})}},
		"relative command": {changes: []change{process(func(p *specs.Process) { p.Args[0], p.Cwd = "../bin/sh", "/etc" })}},
		"working folder by a link": {
			prepare: func(t *testing.T, dir string) { makeLink(t, "../home", filepath.Join(dir, "rootfs/etc/link")) },
			changes: []change{process(func(p *specs.Process) { p.Cwd = "/etc/link" })},
		},
		"working folder on a mount": {changes: []change{bound("/data"), process(func(p *specs.Process) { p.Cwd = "/data/." })}},
		"working folder to be made": {changes: []change{bound("/data"), process(func(p *specs.Process) { p.Cwd, p.User = "/data/a/b", specs.User{UID: 9} })}},
		"all limits": {changes: []change{process(func(p *specs.Process) {
			p.Rlimits = nil
			for i, name := range strings.Fields("AS CORE CPU DATA FSIZE LOCKS MEMLOCK MSGQUEUE NICE NOFILE NPROC RSS RTPRIO RTTIME SIGPENDING STACK") {
				hard := map[string]uint64{"AS": 1 << 40, "DATA": 1 << 40, "MEMLOCK": 65536, "MSGQUEUE": 65536, "NICE": 0, "RTPRIO": 0, "CPU": 1000, "STACK": 8 << 20, "SIGPENDING": 300, "NOFILE": 500, "NPROC": 300}[name]
				if hard == 0 && name != "NICE" && name != "RTPRIO" {
					hard = uint64(1<<30 + i)
				}
				p.Rlimits = append(p.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_" + name, Soft: hard / 2, Hard: hard})
			}
		})}},
		"limits, unlimited": {changes: []change{process(func(p *specs.Process) {
			p.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE", Soft: 0, Hard: unix.RLIM_INFINITY}, {Type: "RLIMIT_CPU", Soft: unix.RLIM_INFINITY, Hard: unix.RLIM_INFINITY}}
		})}},
		"five capability sets": {changes: []change{process(func(p *specs.Process) {
			four := []string{"CAP_CHOWN", "CAP_KILL", "CAP_FOWNER", "CAP_NET_RAW"}
			p.Capabilities = &specs.LinuxCapabilities{Bounding: four, Permitted: four[:3], Inheritable: four[:2], Effective: four[:2], Ambient: four[:1]}
		})}},
		"five capability sets, user": {changes: []change{process(func(p *specs.Process) {
			four := []string{"CAP_CHOWN", "CAP_KILL", "CAP_FOWNER", "CAP_NET_RAW"}
			p.User = specs.User{UID: 5, GID: 6}
			p.Capabilities = &specs.LinuxCapabilities{Bounding: four, Permitted: four[:3], Inheritable: four[:2], Effective: four[:1], Ambient: four[:1]}
		})}},
		"bounding only": {changes: []change{process(func(p *specs.Process) {
			p.Capabilities, p.NoNewPrivileges = &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_AUDIT_WRITE"}}, false
		})}},
		"bounding only, user": {changes: []change{process(func(p *specs.Process) {
			p.Capabilities, p.NoNewPrivileges, p.User = &specs.LinuxCapabilities{Bounding: []string{"CAP_CHOWN", "CAP_AUDIT_WRITE"}}, false, specs.User{UID: 3}
		})}},
		"terminal, user namespace": {changes: []change{mapped, process(func(p *specs.Process) { p.Terminal = true })}},
		"terminal, other pts": {changes: []change{options("/dev/pts", "newinstance", "ptmxmode=0666", "mode=0600"), process(func(p *specs.Process) {
			p.Terminal, p.User = true, specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{5}}
		})}},
		"descriptors kept":       {options: []string{"--preserve-fds", "2"}, files: 2},
		"descriptors not kept":   {files: 3},
		"fewer descriptors kept": {options: []string{"--preserve-fds", "1"}, files: 3},
		"no pivot":               {options: []string{"--no-pivot"}, changes: []change{writable}},
		"no new keyring":         {options: []string{"--no-new-keyring"}},
		"score 0":                {changes: []change{process(func(p *specs.Process) { p.OOMScoreAdj = new(0) })}},
		"score 1000":             {changes: []change{process(func(p *specs.Process) { p.OOMScoreAdj = new(1000) })}},
		"all sysctls": {changes: []change{func(s *specs.Spec) {
			s.Linux.Sysctl = map[string]string{
				"kernel.shmmax": "1000000", "kernel.shmall": "5000", "kernel.shmmni": "100", "kernel.msgmnb": "5000", "kernel.msgmni": "50", "kernel.sem": "10 20 30 40",
				"kernel.shm_rmid_forced": "1", "fs.mqueue.msg_max": "8", "net.ipv4.ping_group_range": "5 6", "net.core.somaxconn": "99",
				"net/ipv4/conf/lo/forwarding": "1", "net.ipv6.conf.lo.disable_ipv6": "1",
			}
		}}},
	}
}

// passwd gives the image users with a home.
func passwd(t *testing.T, dir string) {
	t.Helper()
	put(t, filepath.Join(dir, "rootfs/etc/passwd"), "root:x:0:0::/data:/bin/sh\nmail:x:12:12::/home:/bin/sh\n", 0o644)
	put(t, filepath.Join(dir, "rootfs/etc/group"), "root:x:0:\nmail:x:12:\nothers:x:13:root,mail\n", 0o644)
}

// seccompParity are filters: all actions, comparisons of arguments, flags, and machines.
func seccompParity() map[string]parity {
	filter := func(f specs.LinuxSeccomp) parity {
		return parity{changes: []change{func(s *specs.Spec) {
			s.Linux.Seccomp = &f
			s.Process.Env = append(s.Process.Env, "TRY=140 324") // getpriority and membarrier
		}}}
	}
	deny := func(action specs.LinuxSeccompAction, errno *uint, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: []string{"getpriority", "membarrier"}, Action: action, ErrnoRet: errno, Args: args}
	}
	table := map[string]parity{
		"filter, error 7":         filter(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{deny(specs.ActErrno, new(uint(7)))}}),
		"filter, unknown names":   filter(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: []string{"fly", "mkdir"}, Action: specs.ActErrno}}}),
		"filter, default action":  filter(specs.LinuxSeccomp{DefaultAction: specs.ActErrno, DefaultErrnoRet: new(uint(99)), Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}, Syscalls: []specs.LinuxSyscall{allButSome()}}),
		"filter, default is LOG":  filter(specs.LinuxSeccomp{DefaultAction: specs.ActLog, Syscalls: []specs.LinuxSyscall{deny(specs.ActErrno, nil)}}),
		"filter, many conditions": filter(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: conditions()}),
		"filter, same call twice": filter(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
			deny(specs.ActErrno, new(uint(5)), specs.LinuxSeccompArg{Index: 0, Value: 3, Op: specs.OpEqualTo}, specs.LinuxSeccompArg{Index: 1, Value: 48, Op: specs.OpEqualTo}),
			deny(specs.ActErrno, new(uint(6)), specs.LinuxSeccompArg{Index: 0, Value: 4, Op: specs.OpEqualTo}),
			deny(specs.ActErrno, new(uint(8)), specs.LinuxSeccompArg{Index: 1, Value: 80, Op: specs.OpEqualTo}),
		}}),
	}
	for _, action := range []specs.LinuxSeccompAction{specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActLog, specs.ActTrace} {
		table["filter, "+string(action)] = filter(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{deny(action, nil)}})
	}
	for _, op := range []specs.LinuxSeccompOperator{specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan, specs.OpMaskedEqual} {
		table["filter, "+string(op)] = filter(specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
			deny(specs.ActErrno, new(uint(9)), specs.LinuxSeccompArg{Index: 2, Value: 1<<33 | 5, ValueTwo: 1<<33 | 4, Op: op}),
		}})
	}
	return table
}

// allButSome allows all that busybox and a Go program need, and more.
func allButSome() specs.LinuxSyscall {
	return specs.LinuxSyscall{Action: specs.ActAllow, Names: strings.Fields(`access alarm arch_prctl bind brk capget capset chdir chmod chown
clock_getres clock_gettime clock_nanosleep clone clone3 close close_range connect dup dup2 dup3 epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2 execve
exit exit_group faccessat faccessat2 fadvise64 fchdir fchmod fchown fcntl flock fork fstat fstatfs ftruncate futex getcwd getdents getdents64 getegid
geteuid getgid getgroups getpeername getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit getsockname getsockopt gettid
gettimeofday getuid ioctl ioprio_get keyctl kill lseek lstat madvise membarrier mkdir mmap mprotect mremap munmap nanosleep newfstatat open openat pipe pipe2 personality
poll prctl pread64 prlimit64 read readlink readlinkat recvfrom recvmsg rename restart_syscall rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity
sched_getscheduler sched_yield select sendfile sendto set_robust_list set_tid_address setgid setgroups setuid sigaltstack socket stat statfs statx symlink tgkill umask
uname unlink unlinkat utimensat vfork wait4 write writev getpgid setpgid getsid setsid rseq`)}
}

// conditions are several on one call, all of which must hold.
func conditions() []specs.LinuxSyscall {
	arg := func(index uint, value uint64, op specs.LinuxSeccompOperator) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: index, Value: value, Op: op}
	}
	return []specs.LinuxSyscall{
		{Names: []string{"getpriority"}, Action: specs.ActErrno, ErrnoRet: new(uint(11)), Args: []specs.LinuxSeccompArg{arg(0, 3, specs.OpGreaterThan), arg(1, 100, specs.OpLessThan)}},
		{Names: []string{"membarrier"}, Action: specs.ActErrno, ErrnoRet: new(uint(12)), Args: []specs.LinuxSeccompArg{arg(0, 2, specs.OpGreaterThan), arg(1, 80, specs.OpNotEqual), arg(2, 1<<33|7, specs.OpLessEqual)}},
	}
}

// namespaceParity are namespaces: of another process, of the machine, with maps.
func namespaceParity(t *testing.T) map[string]parity {
	t.Helper()
	all := holder(t, unix.CLONE_NEWNET|unix.CLONE_NEWIPC|unix.CLONE_NEWUTS|unix.CLONE_NEWPID|unix.CLONE_NEWCGROUP)
	users := holder(t, unix.CLONE_NEWUSER|unix.CLONE_NEWNET|unix.CLONE_NEWIPC|unix.CLONE_NEWUTS)
	ranges := func(s *specs.Spec) {
		mapped(s)
		s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 100000, Size: 10}, {ContainerID: 1000, HostID: 0, Size: 1}, {ContainerID: 2000, HostID: 200000, Size: 50}}
		s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 300000, Size: 100}, {ContainerID: 1001, HostID: 0, Size: 1}}
	}
	device := func(s *specs.Spec) {
		s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/kmsg", Type: "c", Major: 1, Minor: 11}}
	}
	return map[string]parity{
		"joined network":             {changes: []change{join(all, specs.NetworkNamespace)}},
		"joined PID":                 {changes: []change{join(all, specs.PIDNamespace)}},
		"joined namespaces":          {machine: true, changes: []change{join(all, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.PIDNamespace, specs.CgroupNamespace)}},
		"joined IPC, host's UTS":     {changes: []change{join(all, specs.IPCNamespace), without(specs.UTSNamespace), func(s *specs.Spec) { s.Hostname = "" }}},
		"joined user namespace":      {changes: []change{join(users, specs.UserNamespace)}},
		"joined user, network":       {changes: []change{join(users, specs.UserNamespace, specs.NetworkNamespace, specs.UTSNamespace), func(s *specs.Spec) { s.Hostname = "" }}},
		"user namespace, ranges":     {changes: []change{ranges, func(s *specs.Spec) { s.Process.User = specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{50}} }}},
		"user namespace, devices":    {changes: []change{mapped, device}},
		"user namespace, mounts":     {changes: []change{mapped, bound("/data", "ro"), addMount("/tmp", "tmpfs", "tmpfs", "mode=755", "uid=5", "noexec"), bound("/home", "nosuid", "nodev")}},
		"user namespace, sysctl":     {changes: []change{mapped, func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"net.ipv4.ip_forward": "1"} }}},
		"user, host network":         {machine: true, changes: []change{mapped, without(specs.NetworkNamespace), noMount("/sys/fs/cgroup"), noMount("/sys"), addMount("/sys", "bind", "/sys", "rbind", "ro", "nosuid", "nodev", "noexec")}},
		"cgroup namespace":           {changes: []change{newCgroup}},
		"cgroup namespace, writable": {changes: []change{newCgroup, options("/sys/fs/cgroup", "nosuid", "noexec", "nodev", "rw")}},
		"cgroups writable":           {changes: []change{without(specs.CgroupNamespace), options("/sys/fs/cgroup")}},
		"cgroup namespace, user":     {changes: []change{newCgroup, mapped}},
		"host's of all but mount": {changes: []change{func(s *specs.Spec) {
			s.Linux.Namespaces, s.Hostname = []specs.LinuxNamespace{{Type: specs.MountNamespace}}, ""
		}}},
		"privileged": {changes: []change{
			writable, func(s *specs.Spec) {
				s.Linux.MaskedPaths, s.Linux.ReadonlyPaths, s.Process.NoNewPrivileges = nil, nil, false
				s.Linux.Resources.Devices = []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
			},
			options("/sys", "nosuid", "noexec", "nodev", "rw"), options("/sys/fs/cgroup", "nosuid", "noexec", "nodev", "relatime", "rw"),
			func(s *specs.Spec) {
				s.Linux.Devices = []specs.LinuxDevice{
					{Path: "/dev/kmsg", Type: "c", Major: 1, Minor: 11, FileMode: new(fs.FileMode(0o644))},
					{Path: "/dev/loop0", Type: "b", Major: 7, Minor: 0, FileMode: new(fs.FileMode(0o660)), UID: new(uint32(0)), GID: new(uint32(6))},
				}
			},
		}},
		"devices of all kinds": {changes: []change{func(s *specs.Spec) {
			// Without the rule, runc 1.1 forbids a default device that the configuration describes anew.
			zero := specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: new(int64(1)), Minor: new(int64(5)), Access: "rwm"}
			s.Linux.Resources.Devices = append(s.Linux.Resources.Devices, zero)
			s.Linux.Devices = []specs.LinuxDevice{
				{Path: "/dev/zero", Type: "c", Major: 1, Minor: 5, FileMode: new(fs.FileMode(0o600)), UID: new(uint32(9))},
				{Path: "/dev/unbuffered", Type: "u", Major: 1, Minor: 5},
				{Path: "/dev/pipe", Type: "p", UID: new(uint32(1)), GID: new(uint32(2))},
				{Path: "/dev/block", Type: "b", Major: 259, Minor: 1048575, FileMode: new(fs.FileMode(0))},
				{Path: "/dev/net/tun", Type: "c", Major: 10, Minor: 200, FileMode: new(fs.FileMode(0o777))},
			}
		}}},
		"devices outside dev": {changes: []change{writable, func(s *specs.Spec) {
			s.Linux.Devices = []specs.LinuxDevice{{Path: "/data/null", Type: "c", Major: 1, Minor: 3}, {Path: "/new/folder/zero", Type: "c", Major: 1, Minor: 5}}
		}}},
	}
}

// newCgroup gives the container a cgroup namespace, which runc spec does on machines of version 2 only.
func newCgroup(s *specs.Spec) {
	without(specs.CgroupNamespace)(s)
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.CgroupNamespace})
}

// holder starts a process in new namespaces, which lives until the test ends.
func holder(t *testing.T, flags uintptr) int {
	t.Helper()
	c := exec.Command("busybox", "cat")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	if _, err := c.StdinPipe(); err != nil { // it ends when this test does, however that ends
		t.Fatal(err)
	}
	if flags&unix.CLONE_NEWUSER != 0 {
		ids := []syscall.SysProcIDMap{{ContainerID: 0, HostID: 100000, Size: 65536}}
		c.SysProcAttr.UidMappings, c.SysProcAttr.GidMappings = ids, ids
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	return c.Process.Pid
}

// join makes a container join namespaces of a process.
func join(pid int, kinds ...specs.LinuxNamespaceType) change {
	return func(s *specs.Spec) {
		files := map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net"}
		for _, kind := range kinds {
			without(kind)(s)
			file := files[kind]
			if file == "" {
				file = string(kind)
			}
			s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: kind, Path: filepath.Join("/proc", strconv.Itoa(pid), "ns", file)})
			if kind == specs.UserNamespace {
				mapped(s) // runc 1.1 wants the maps, too
				s.Linux.Namespaces = s.Linux.Namespaces[:len(s.Linux.Namespaces)-1]
			}
		}
	}
}

// resourceParity are the limits, each alone. Those for which this machine has no controller are left out.
func resourceParity(t *testing.T) map[string]parity {
	t.Helper()
	table := map[string]parity{}
	version, _ := hierarchyOf(t, "memory")
	add := func(name string, versions string, f func(*specs.LinuxResources)) {
		if strings.Contains(versions, strconv.Itoa(version)) {
			table[name] = parity{changes: []change{func(s *specs.Spec) { f(s.Linux.Resources) }}}
		}
	}
	if _, err := os.Stat("/sys/fs/cgroup/cpuacct"); err == nil {
		table["combined controllers"] = parity{combined: true}
	}
	add("memory, unlimited", "12", func(r *specs.LinuxResources) {
		r.Memory = &specs.LinuxMemory{Limit: new(int64(-1)), Swap: new(int64(-1))}
	})
	add("memory and unlimited swap", "12", func(r *specs.LinuxResources) {
		r.Memory = &specs.LinuxMemory{Limit: new(int64(64 << 20)), Swap: new(int64(-1))}
	})
	add("memory of version 1", "1", func(r *specs.LinuxResources) {
		r.Memory = &specs.LinuxMemory{Limit: new(int64(64 << 20)), DisableOOMKiller: new(true), Swappiness: new(uint64(0))}
	})
	add("CPU shares", "12", func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Shares: new(uint64(1024))} })
	add("CPU quota without period", "12", func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Quota: new(int64(20000))} })
	add("CPU period alone", "12", func(r *specs.LinuxResources) { r.CPU = &specs.LinuxCPU{Period: new(uint64(50000))} })
	add("CPU without quota", "12", func(r *specs.LinuxResources) {
		r.CPU = &specs.LinuxCPU{Quota: new(int64(-1)), Period: new(uint64(50000))}
	})
	add("processes, unlimited", "12", func(r *specs.LinuxResources) { r.Pids = &specs.LinuxPids{Limit: new(int64(-1))} })
	add("disk", "1", func(r *specs.LinuxResources) {
		major, minor := disk(t)
		limit := specs.LinuxThrottleDevice{Rate: 1 << 20}
		limit.Major, limit.Minor = major, minor
		r.BlockIO = &specs.LinuxBlockIO{
			ThrottleReadBpsDevice: []specs.LinuxThrottleDevice{limit}, ThrottleWriteBpsDevice: []specs.LinuxThrottleDevice{limit},
			ThrottleReadIOPSDevice: []specs.LinuxThrottleDevice{limit}, ThrottleWriteIOPSDevice: []specs.LinuxThrottleDevice{limit},
		}
	})
	add("unified", "2", func(r *specs.LinuxResources) {
		r.Unified = map[string]string{"memory.high": "50000000", "pids.max": "66", "cpu.weight": "77", "memory.swap.max": "0"}
	})
	return table
}

// combineControllers shows the calling thread, which is in a mount namespace of its own, the machine's v1 hierarchies with that
// of cpu mounted as the one of both, cpu and cpuacct, by the name that systemd gives it.
func combineControllers(t *testing.T, dir string) {
	t.Helper()
	list, err := os.ReadDir("/sys/fs/cgroup")
	if err == nil {
		err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
	}
	if err == nil {
		err = unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=755")
	}
	for _, hierarchy := range list {
		name := hierarchy.Name()
		switch name {
		case "cpuacct", "unified":
			continue
		case "cpu":
			name = "cpu,cpuacct"
		}
		if err == nil {
			makeFolder(t, filepath.Join(dir, name), 0o755)
			err = unix.Mount(filepath.Join("/sys/fs/cgroup", hierarchy.Name()), filepath.Join(dir, name), "", unix.MS_BIND, "")
		}
	}
	if err == nil {
		err = unix.Unmount("/sys/fs/cgroup", unix.MNT_DETACH)
	}
	if err == nil {
		err = unix.Mount(dir, "/sys/fs/cgroup", "", unix.MS_MOVE, "")
	}
	if err != nil {
		t.Fatal(err)
	}
}

// disk returns the number of a disk of the machine.
func disk(t *testing.T) (major, minor int64) {
	t.Helper()
	disks, err := os.ReadDir("/sys/block")
	if err != nil || len(disks) == 0 {
		t.Skip("the machine has no disk")
	}
	text, err := os.ReadFile(filepath.Join("/sys/block", disks[0].Name(), "dev"))
	if err != nil {
		t.Fatal(err)
	}
	first, second, _ := strings.Cut(strings.TrimSpace(string(text)), ":")
	major, _ = strconv.ParseInt(first, 10, 64)
	minor, _ = strconv.ParseInt(second, 10, 64)
	return major, minor
}
