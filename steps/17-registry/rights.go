// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"

	"golang.org/x/sys/unix"

	"stave/namespaces"
)

// This file is the same in every step that an ordinary user can run as well.

// rights gives an ordinary user the rights of root over the new namespaces, and over nothing else: he becomes root of a
// user namespace that owns them. Step 09 is about that; root needs none of it.
func rights(c namespaces.Config) namespaces.Config {
	if os.Geteuid() == 0 {
		return c
	}
	c.New |= unix.CLONE_NEWUSER
	c.Mapping = namespaces.Single
	c.UIDs = []namespaces.IDMap{{Inside: 0, Outside: uint32(os.Geteuid()), Size: 1}}
	c.GIDs = []namespaces.IDMap{{Inside: 0, Outside: uint32(os.Getegid()), Size: 1}}
	return c
}
