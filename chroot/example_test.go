// SPDX-License-Identifier: Apache-2.0

package chroot_test

import (
	"fmt"

	"stave/chroot"
	"stave/kernel"
)

// show prints the calls of a list as explain does.
func show(calls []kernel.Call) {
	for _, c := range calls {
		fmt.Println(c)
	}
}

func ExampleRoot_Calls() {
	r := chroot.Root{
		Path: "/srv/root", ReadOnly: true,
		Mounts: []chroot.MountPoint{
			{Type: "proc", Source: "proc", Target: "/proc"},
			{Source: "/srv/data", Target: "/data", Options: chroot.ParseOptions([]string{"rbind", "ro"})},
		},
		Masked: []string{"/proc/kcore"},
	}
	show(r.Calls())
	fmt.Println(chroot.Pivot{})
	// Output:
	// make / rslave
	// bind the root /srv/root over itself
	// mount proc on /proc
	// bind /srv/data with all below it on /data (ro)
	// mask /proc/kcore
	// make / ro
	// pivot_root into the root and detach the old one
}

func ExampleRoot_HostCalls() {
	everybody := []chroot.IDRange{{Inside: 0, Outside: 100000, Size: 65536}}
	r := chroot.Root{Path: "/srv/root", Mounts: []chroot.MountPoint{
		{Source: "/srv/data", Target: "/data", UIDs: everybody, GIDs: everybody, Options: chroot.ParseOptions([]string{"bind", "idmap"})},
		{Type: "tmpfs", Source: "tmpfs", Target: "/run", Options: chroot.ParseOptions([]string{"tmpcopyup", "size=1m"})},
	}}
	show(r.HostCalls())
	// Output:
	// make the id map u:0:100000:65536 g:0:100000:65536 in a user namespace
	// take /srv/data as a tree of its own, id-mapped
	// fill a tmpfs with what the image has in /run
}

func ExampleParseOptions() {
	o := chroot.ParseOptions([]string{"ro", "nosuid", "rprivate", "mode=755", "size=64k"})
	fmt.Printf("%#x %v %q\n", o.Flags, o.Propagation, o.Data)
	// Output: 0x3 [278528] "mode=755,size=64k"
}
