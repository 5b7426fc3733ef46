#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# view.sh LAYOUT COMMAND… runs a command as a child of process 1 of new mount and PID namespaces:
#
#	unshare --mount --pid --fork --kill-child --mount-proc sh view.sh LAYOUT COMMAND…
#
# It gets a /run of its own, and device nodes of its own: there are runtimes that change the owner of the machine's
# /dev/null (crun 1.8.1 does, with a user namespace). If a node is not as before in the end, the exit code is 99.
#
# With the layout legacy it sees only the hierarchies of cgroup version 1, with empty only the
# tree of version 2; any other layout is what the machine has. The machine's own mounts stay as they are.
set -eu
layout=$1
shift
mount -t tmpfs -o mode=755 tmpfs /run

# mounted prints the mount points of a file system type.
mounted() {
	awk -v type="$1" '{ for (i = 7; $i != "-"; i++); if ($(i+1) == type) print $5 }' /proc/self/mountinfo
}

mkdir /run/dev
mount -t tmpfs -o mode=755 tmpfs /run/dev
cd /dev
cp --archive --parents null zero full random urandom tty ptmx fd stdin stdout stderr /run/dev
for node in console kmsg fuse net/tun; do
	[ ! -e "$node" ] || cp --archive --parents "$node" /run/dev
done
mkdir /run/dev/pts /run/dev/shm
mount --rbind /dev/pts /run/dev/pts
mount -t tmpfs tmpfs /run/dev/shm
cd "$OLDPWD"
mount --move /run/dev /dev

# nodes prints what each device node is, whose, and with which permissions.
nodes() {
	find /dev -xdev -type c -exec stat -c '%n %t:%T %a %u:%g' {} + | sort
}

view=/run/cgroup
case $layout in
legacy)
	mkdir "$view"
	mount -t tmpfs -o mode=755 tmpfs "$view"
	for point in $(mounted cgroup); do
		mkdir "$view/${point##*/}"
		mount --bind "$point" "$view/${point##*/}"
	done
	umount --lazy /sys/fs/cgroup
	mount --move "$view" /sys/fs/cgroup
	;;
empty)
	mkdir "$view"
	mount --bind "$(mounted cgroup2 | head -n 1)" "$view"
	umount --lazy /sys/fs/cgroup
	mount --move "$view" /sys/fs/cgroup
	;;
esac
# Not exec: process 1 has to wait for orphans, and when it ends the kernel kills who is left.
before=$(nodes)
code=0
"$@" || code=$?
after=$(nodes)
if [ "$before" != "$after" ]; then
	printf 'view.sh: %s changed device nodes, from\n%s\nto\n%s\n' "$*" "$before" "$after" >&2
	exit 99
fi
exit "$code"
