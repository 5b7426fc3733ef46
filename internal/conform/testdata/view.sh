#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# view.sh LAYOUT COMMAND… runs a command as a child of process 1 of new mount and PID namespaces:
#
#	unshare --mount --pid --fork --kill-child --mount-proc sh view.sh LAYOUT COMMAND…
#
# It gets a /run of its own. With the layout legacy it sees only the hierarchies of cgroup version 1, with empty only the
# tree of version 2; any other layout is what the machine has. The machine's own mounts stay as they are.
set -eu
layout=$1
shift
mount -t tmpfs -o mode=755 tmpfs /run

# mounted prints the mount points of a file system type.
mounted() {
	awk -v type="$1" '{ for (i = 7; $i != "-"; i++); if ($(i+1) == type) print $5 }' /proc/self/mountinfo
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
code=0
"$@" || code=$?
exit "$code"
