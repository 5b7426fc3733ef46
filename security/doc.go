// SPDX-License-Identifier: Apache-2.0

// Package security plans what a container's process may do: who it is, which capabilities, limits and labels it has, and
// which system calls the kernel lets it make.
//
// Namespaces say what a process sees; they do not say what it may do there. Root in a container is still root to the kernel
// unless something takes rights away, and five things do, each with a gap that another one closes:
//
//   - the user: [LookUser], [Credentials]. Not being root closes the most.
//   - capabilities (capabilities(7)), the slices that root's rights are cut into: [ParseSet], [Adjust], [Credentials].
//   - no_new_privs (prctl(2)), so that set-user-ID programs give nothing back: [NoNewPrivileges].
//   - seccomp (seccomp(2)), so that most of the kernel can't be reached at all: [Compile], [Seccomp], [DefaultSeccomp].
//   - AppArmor and SELinux, where the kernel has them: [AppArmor], [SELinux].
//
// Beside them stand resource limits (getrlimit(2)): [Limits], [Umask], [OOMScoreAdj]; and the share of processors, disks and
// memory nodes (sched(7), ioprio_set(2), numa(7)): [Scheduler], [IOPriority], [MemoryPolicy], [ExecAffinity].
//
// All of it is planned as [kernel.Call] values from an OCI configuration and a few [Facts] of the machine, and runs in the
// container's process between clone and execve.
//
// # The order
//
// Rights are needed to give rights away, so the order is forced (runc and crun have the same):
//
//  1. [OOMScoreAdj], which a process without privilege can't write once it is non-dumpable; then [NonDumpable], before others
//     share a namespace with the process.
//  2. [Limits]: raising one takes CAP_SYS_RESOURCE. [AppArmor] and [SELinux]: they take effect at execve.
//  3. [Seccomp] and [Handover.Inside], if there is no no_new_privs: installing then takes CAP_SYS_ADMIN, and the filter must allow
//     everything below.
//  4. [Credentials.Become]: bounding set, groups, group, user. Then the working folder, entered as that user.
//  5. [Credentials.Restrict]: permitted, effective, inheritable and ambient sets.
//  6. [NoNewPrivileges], and [Seccomp] with [Handover.Inside], last before close_range and execve: the filter need allow only those
//     and, to report an error, write and exit_group.
//
// # A filter
//
// A seccomp filter is a program of classic BPF that the kernel runs at every system call. [Compile] writes one: a test of the
// architecture, a balanced binary search over ranges of numbers that are treated alike, and the conditions on arguments, which
// have 64 bits and are compared in halves of 32. Docker's profile becomes some 250 instructions, of which a call executes at
// most 16. [Filter.Explain] prints it.
//
// The numbers of system calls stand in syscalls.txt, made from the tables of elastic/go-seccomp-bpf. Those tables are Go maps: to
// link them costs 0.3 ms at each start, filter or not.
//
// # What nobody inside may reach
//
// Between fork and execve the container's process is the host's program in the container's namespaces.
//
// Its binary: /proc/PID/exe of that process leads to the host's file, and who can open it can write to it once it is no longer
// executed (CVE-2019-5736). [NonDumpable] keeps every other process from /proc/PID/exe, mem and fd until execve. That is one half.
// The other half is execve itself: a command in the container that is a link to /proc/self/exe, or a script that begins with
// #!/proc/self/exe, makes the kernel execute the host's program once more, now dumpable and in the container (a test shows it).
// It can't be prevented at the execve, so programs that make containers end at once when they find themselves [Displaced], before
// anything that the container chose has been read or started. Where the container joins a PID namespace, somebody may be waiting
// for that moment: there they execute a [SealedCopy] of themselves first, unless they are [Sealed]. In a user namespace the host's
// file belongs to a user whom the container does not have. See lessons/decisions/0008-program-seal.md.
//
// Its descriptors: one that leads to the host, open at the wrong time, is a way out of the root (CVE-2024-21626: a working
// folder of /proc/self/fd/7). Everything is opened with O_CLOEXEC, all that is above the command's own descriptors is marked
// close-on-exec by close_range(2) before a filter could forbid it, and the working folder is checked to be inside the root after it is entered.
//
// # Limits
//
// Profiles compile for amd64 with i386, and arm64 with arm. x32 calls fail with ENOSYS. On i386, rules without conditions for calls
// of sockets and System V IPC also hold for socketcall(2) and ipc(2); rules with conditions can't be checked there, because the
// arguments are in memory. Where libseccomp lets a rule without conditions win over all others of its call, here the first rule
// that matches wins. Landlock, personality(2) and the labels of files are not planned here.
//
// Read first: credentials.go, then seccomp.go, rule.go and bpf.go. Sources: capabilities(7), seccomp(2), prctl(2), capset(2),
// user_namespaces(7), linux/seccomp.h, the kernel's seccomp_filter.rst, and config.md and config-linux.md of the OCI runtime
// specification.
package security
