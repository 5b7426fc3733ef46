// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"github.com/opencontainers/go-digest"
)

// Options say how archives become folders and the reverse. The zero value is right for root.
type Options struct {
	// UserXattr takes overlay's marks by the names that an ordinary user may set: user.overlay.opaque in place of
	// trusted.overlay.opaque, for mounts with the option userxattr. Then extended attributes that the kernel refuses to such a
	// user (trusted, security) are left out.
	UserXattr bool
	// UIDs and GIDs say which number on disk a number of the archive has. Without ranges they are the same; with them, a
	// number in none is an error.
	UIDs, GIDs []Range
	// SkipOwners gives all that is unpacked to who unpacks, and packs all as root's.
	SkipOwners bool
	// SkipDevices leaves out device nodes that the kernel doesn't let us make.
	SkipDevices bool
	// TrustTimes lets Diff and Compare believe that files of equal size and modification time have the same content.
	TrustTimes bool
	// View is where overlay shows the folder that Pack reads together with the layers below. Pack reads there what the folder has only
	// a reference to (metacopy, redirect_dir); without a View such files are an error.
	View string
	// Below is the folder of the layer below the one that Pack writes. Where the root is another one than that folder, Pack writes an entry
	// for it; without Below it writes none.
	Below string
	// Notice, if set, is told of all that was left out, and why. It is called by the goroutine that unpacks or packs.
	Notice func(path, why string)
	// Limits end Unpack at archives that are too large.
	Limits Limits
}

// Range maps Size numbers of users or groups of the archive, from Inside on, to those on disk from Outside on.
type Range struct {
	Inside, Outside, Size uint32
}

// Limits are what Unpack takes at most; 0 means the default in parentheses.
type Limits struct {
	// Bytes are those of all files together, holes included (1 TiB). The archive may have 4 KiB for each entry besides.
	Bytes int64
	// Entries of the archive, with the directories that hold one and have none themselves (5 million).
	Entries int
	// Paths are the bytes of the paths of all directories together (64 MiB).
	Paths int
	// Xattrs are the bytes of names and values of one entry's extended attributes (256 KiB).
	Xattrs int
}

// Result is what Unpack found.
type Result struct {
	// DiffID is the digest of the archive, with all that follows its last entry.
	DiffID digest.Digest
	// Bytes is the size of all regular files.
	Bytes int64
	// Entries counts those of the archive, whiteouts too.
	Entries int
	// Implicit are the directories that hold an entry but have none, in the order in which they were made, the root ("") first if it
	// has none. They belong to root and have mode 0755, unless Inherit gives them the attributes of the same directories in
	// the layers below.
	Implicit []string
}

// The defaults of Limits.
const (
	defaultBytes   = 1 << 40
	defaultEntries = 5_000_000
	defaultPaths   = 64 << 20
	defaultXattrs  = 256 << 10
)

// headerBytes is room for what tar adds to the content of an entry: its header, one with PAX records, and padding.
const headerBytes = 4 << 10

// withDefaults has numbers for all limits.
func (l Limits) withDefaults() Limits {
	if l.Bytes == 0 {
		l.Bytes = defaultBytes
	}
	if l.Entries == 0 {
		l.Entries = defaultEntries
	}
	if l.Paths == 0 {
		l.Paths = defaultPaths
	}
	if l.Xattrs == 0 {
		l.Xattrs = defaultXattrs
	}
	return l
}

// stream is how many bytes an archive has at most, with what follows its last entry.
func (l Limits) stream() int64 { return l.Bytes + int64(l.Entries)*headerBytes }

// mapped says whether owners have other numbers on disk.
func (o *Options) mapped() bool { return len(o.UIDs)+len(o.GIDs) > 0 }

// notice tells of something that was left out.
func (o *Options) notice(path, why string) {
	if o.Notice != nil {
		o.Notice(path, why)
	}
}

// overlay is the name of one of overlay's own extended attributes.
func (o *Options) overlay(name string) string {
	if o.UserXattr {
		return "user.overlay." + name
	}
	return "trusted.overlay." + name
}
