// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"context"
	"io"

	"stave/kernel"
)

// Stack is what a driver makes one root file system of.
type Stack struct {
	// Layers are the unpacked layers, the lowest first, with the whiteouts of overlay in them.
	Layers []Layer
	// Dir is the container's own folder, in which the driver keeps what is written ("diff", "work", …) and the mount point
	// "merged". It exists.
	Dir string
	// ReadOnly makes a root without a writable layer.
	ReadOnly bool
	// Volatile says that what is written need not survive a crash of the machine (overlay's "volatile").
	Volatile bool
}

// Root is the root file system that a driver made of a stack.
type Root struct {
	// Path is the folder that becomes the container's root.
	Path string
	// Calls mount it on Path, in the container's own mount namespace: it goes with the container, however that ends. Without calls
	// the root is there already, for all to see.
	Calls []kernel.Call
}

// Driver joins layers. Its methods may be called by several processes at once for different stacks.
type Driver interface {
	// Name is the word for the command line and for container.json: overlay, vfs, fuse-overlayfs, btrfs.
	Name() string

	// Prepare makes what the root needs in s.Dir; done again for the same folder it changes nothing and keeps what was written.
	Prepare(ctx context.Context, s Stack) (Root, error)

	// View shows the root file system of a prepared stack to this process, as long as nobody calls close: a path that need not outlive the
	// process (such as /proc/self/fd/N of a mount that is attached nowhere). What is written there is written to the container. For a
	// container that runs, ask a [Layered] driver for its Upper, and if there is one, put that on top of s.Layers and set s.ReadOnly.
	View(ctx context.Context, s Stack) (path string, close func() error, err error)

	// Changes writes the layer of what was written since the layers, as an uncompressed tar with OCI whiteouts.
	Changes(ctx context.Context, s Stack, w io.Writer) error

	// Remove takes away all that Prepare made in s.Dir, mounts and written data too. What is not there is no error.
	Remove(ctx context.Context, s Stack) error
}

// Layered is a driver that keeps what is written in a folder of its own, which two mounts must not write to: while a container runs, it
// is looked at through a mount that only reads.
type Layered interface {
	// Upper is what was written in a prepared stack, as a layer for View to put on top of the others. It is false where that can't be.
	Upper(s Stack) (Layer, bool)
}
