// SPDX-License-Identifier: Apache-2.0

// Command vm runs one command in a throw-away virtual machine with a distribution's kernel, where /sys/fs/cgroup is
// pure cgroup v2. It is made for test binaries:
//
//	go test -exec "$PWD/build/vm/run -kernel $PWD/build/vm/kernel" ./cgroups
//	build/vm/run -kernel build/vm/kernel ./cgroups.test -test.v -test.run TestMemory
//	build/vm/run -kernel build/vm/kernel sh -c 'cat /sys/fs/cgroup/cgroup.controllers'
//
// make build/vm/run build/vm/kernel/vmlinux gets both. The command runs as root, sees this machine's files at their own
// paths and may write to all of them, but what it writes is gone with the machine: only -share FOLDER is the real one.
// TMPDIR is on an ext4 disk, /scratch. The file named by -test.coverprofile comes back as well.
//
// The second flavour boots a Debian with systemd from a disk image (make build/vm/debian.img); the command is run by a
// service of that systemd, as root, or by the user manager of tester (uid 1000), in a delegated subtree:
//
//	go test -run '^TestSystemd' -exec "$PWD/build/vm/run -kernel $PWD/build/vm/kernel \
//		-systemd $PWD/build/vm/debian.img -show $PWD" ./cgroups
//	go test -run '^TestRootless' -exec "… -systemd $PWD/build/vm/debian.img -show $PWD -user tester" ./cgroups
//
// There the root is the image's, and of this machine's files only the folder of the command, the working directory and
// each -show FOLDER are seen, read-only, at their own paths.
//
// The exit code is the command's, or 128 and the number of the signal that ended it. If the machine and not the command
// went wrong (the kernel panicked, the boot hung, the guest died without an exit status, the time was over), it is 125,
// and stderr says which of these with the console's last lines. A boot that dies before the command was started is
// tried once more, which is said; a command that was started never is.
//
// The program is the launcher here, /init in the guest, and with systemd the service, too. QEMU emulates the processor
// unless it can virtualise; see lessons/decisions/0009-vm-tier.md. When the launcher is killed, the kernel kills QEMU
// with it (PR_SET_PDEATHSIG), and nothing is left, since its files have no name (memfd_create(2)).
//
// Read main.go first, then launch_linux.go and guest_linux.go.
package main
