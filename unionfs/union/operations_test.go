// SPDX-License-Identifier: Apache-2.0

package union

import (
	"fmt"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// operation is one operation on a tree, with all that it may need.
type operation struct {
	kind   string
	name   string
	other  string // another name: a target, a new name
	number int    // a mode, a user, a size
}

func (o operation) String() string {
	return fmt.Sprintf("%s %s %s %d", o.kind, o.name, o.other, o.number)
}

// case_ is a stack of layers, made by operations, and the operations on their union.
type list struct {
	lower      [][]operation // the lowest first
	operations []operation
	user       bool // attributes of ordinary users
}

func (l list) String() string {
	var text strings.Builder
	if l.user {
		text.WriteString("userxattr\n")
	}
	for i, layer := range l.lower {
		fmt.Fprintf(&text, "layer %d:\n", i+1)
		for _, o := range layer {
			fmt.Fprintf(&text, "  %s\n", o)
		}
	}
	text.WriteString("operations:\n")
	for _, o := range l.operations {
		fmt.Fprintf(&text, "  %s\n", o)
	}
	return text.String()
}

// What bytes are turned into. Kinds that matter more are there more often.
var (
	making  = strings.Fields("mkdir mkdir mkdir opaque write write attribute whiteout whiteout symlink fifo link hole setuid acl")
	doing   = strings.Fields("mkdir mkdir write write write exclusive truncate unlink unlink unlink rmdir rmdir rmdir rename rename rename rename rename rename link symlink chmod chown times attribute remove fifo device open acl")
	targets = strings.Fields("a b ../a /b/c /a/../d ../../../c none a/ . loop/a")
	modes   = []int{0o644, 0o755, 0o4755, 0o2755, 0o600, 0o1777}
)

// source gives the bytes of a list one by one, and zeros when there are no more.
type source []byte

func (s *source) next(n int) int {
	if len(*s) == 0 {
		return 0
	}
	b := int((*s)[0])
	*s = (*s)[1:]
	return b % n
}

// name is one to three of four letters: few enough for operations to meet.
func (s *source) name() string {
	var parts []string
	for range []int{1, 1, 1, 2, 2, 3}[s.next(6)] {
		parts = append(parts, string(rune('a'+s.next(4))))
	}
	return path.Join(parts...)
}

// operation makes an operation of one of the kinds.
func (s *source) operation(kinds []string) operation {
	o := operation{kind: kinds[s.next(len(kinds))], name: s.name()}
	switch o.kind {
	case "symlink":
		o.other = targets[s.next(len(targets))]
	case "link", "rename":
		o.other = s.name()
	case "mkdir", "write", "chmod", "exclusive":
		o.number = modes[s.next(len(modes))]
	case "attribute", "remove":
		o.other = []string{"user.one", "user.two", "trusted.three"}[s.next(3)]
		o.number = s.next(256)
	case "truncate", "chown", "times":
		o.number = s.next(100)
	}
	return o
}

// decode makes a list of bytes. All bytes are one.
func decode(data []byte) list {
	s := source(data)
	l := list{user: s.next(2) == 1, lower: make([][]operation, 1+s.next(3))}
	for i := range l.lower {
		for range s.next(14) {
			l.lower[i] = append(l.lower[i], s.operation(making))
		}
	}
	for len(s) > 0 && len(l.operations) < 60 {
		l.operations = append(l.operations, s.operation(doing))
	}
	return l
}

// tree is what operations are done on.
type tree interface {
	do(o operation) error
}

// stamp is a time long ago, so that it can be told from now.
func stamp(n int) time.Time { return time.Unix(1_000_000_000+int64(n), int64(n)) }

// list is an access control list that hands itself down: rwx for the owner, r-x for user 7, --- for the rest (acl(5); its form in
// memory is in the kernel's posix_acl_xattr.h).
const acl = "\x02\x00\x00\x00" +
	"\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x05\x00\x07\x00\x00\x00" +
	"\x04\x00\x00\x00\xff\xff\xff\xff" + "\x10\x00\x05\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"

// union_ does operations on a union of ours.
type ours struct{ *Union }

func (u ours) do(o operation) error {
	switch o.kind {
	case "mkdir":
		return u.Mkdir(o.name, uint32(o.number))
	case "write", "exclusive", "open":
		return u.write(o)
	case "truncate":
		return u.Truncate(o.name, int64(o.number))
	case "unlink":
		return u.Unlink(o.name)
	case "rmdir":
		return u.Rmdir(o.name)
	case "rename":
		return u.Rename(o.name, o.other)
	case "link":
		return u.Link(o.name, o.other)
	case "symlink":
		return u.Symlink(o.other, o.name)
	case "chmod":
		return u.Chmod(o.name, uint32(o.number))
	case "chown":
		return u.Chown(o.name, o.number, o.number+1)
	case "times":
		return u.Chtimes(o.name, stamp(o.number), stamp(o.number))
	case "attribute":
		return u.Setxattr(o.name, o.other, []byte{byte(o.number)})
	case "acl":
		return u.Setxattr(o.name, "system.posix_acl_default", []byte(acl))
	case "remove":
		return u.Removexattr(o.name, o.other)
	case "fifo":
		return u.Mknod(o.name, unix.S_IFIFO|0o600, 0)
	case "device":
		return u.Mknod(o.name, unix.S_IFCHR|0o600, unix.Mkdev(4000, 1))
	}
	panic(o.kind)
}

// openFlags are those of the kinds of operations that open a file.
var openFlags = map[string]int{
	"write":     unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_NONBLOCK,
	"exclusive": unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NONBLOCK,
	"open":      unix.O_WRONLY | unix.O_TRUNC | unix.O_NONBLOCK,
}

func (u ours) write(o operation) error {
	file, err := u.OpenFile(o.name, openFlags[o.kind], uint32(o.number))
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(o.String())
	return err
}
