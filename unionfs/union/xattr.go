// SPDX-License-Identifier: Apache-2.0

package union

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// escaped starts, after the prefix, the names of attributes that look like the union's own and are not: an overlay may be a layer of
// another. What a user calls trusted.overlay.opaque is trusted.overlay.overlay.opaque in the layer.
const escaped = "overlay."

// defaultACL is the access control list that a folder hands down (acl(5)).
const defaultACL = "system.posix_acl_default"

// Getxattr is lgetxattr(2).
func (u *Union) Getxattr(name, attribute string) (value []byte, err error) {
	err = u.read("getxattr", name, func(w *walk) error {
		n, err := w.resolve(name, false)
		if err == nil {
			value, err = getxattr(n.parts[0].file, u.inLayer(attribute))
		}
		return err
	})
	return value, err
}

// Listxattr is llistxattr(2), in order.
func (u *Union) Listxattr(name string) (attributes []string, err error) {
	err = u.read("listxattr", name, func(w *walk) error {
		n, err := w.resolve(name, false)
		if err != nil {
			return err
		}
		all, err := listxattr(n.parts[0].file)
		for _, attribute := range all {
			if !u.own(attribute) {
				attributes = append(attributes, u.inUnion(attribute))
			}
		}
		slices.Sort(attributes)
		return err
	})
	return attributes, err
}

// Setxattr is lsetxattr(2), without flags.
func (u *Union) Setxattr(name, attribute string, value []byte) error {
	return u.changeAttribute("setxattr", name, attribute, func(n *node, attribute string) error {
		return unix.Setxattr(self(n.parts[0].file), attribute, value, 0)
	})
}

// Removexattr is lremovexattr(2).
func (u *Union) Removexattr(name, attribute string) error {
	return u.changeAttribute("removexattr", name, attribute, func(n *node, attribute string) error {
		return unix.Removexattr(self(n.parts[0].file), attribute)
	})
}

// changeAttribute refuses before it copies up what could not be done after that: user.* is for files and folders, a
// link has no access control list, only a folder has a default one, and what is not there is not removed.
func (u *Union) changeAttribute(op, name, attribute string, change func(n *node, attribute string) error) error {
	return u.change(op, name, func(w *walk) error {
		n, err := w.resolve(name, false)
		if err != nil {
			return err
		}
		attribute := u.inLayer(attribute)
		switch mode := n.info().Mode(); {
		case strings.HasPrefix(attribute, "user.") && !mode.IsRegular() && !mode.IsDir():
			return unix.EPERM
		case strings.HasPrefix(attribute, "system.posix_acl_") && mode&fs.ModeSymlink != 0:
			return unix.EOPNOTSUPP
		case attribute == defaultACL && !mode.IsDir():
			return unix.EACCES
		}
		if op == "removexattr" {
			if _, err := getxattr(n.parts[0].file, attribute); err != nil {
				return err
			}
		}
		if err := w.copyUp(n); err != nil {
			return err
		}
		return change(n, attribute)
	})
}

// own tells whether an attribute of a layer is for the union itself.
func (u *Union) own(attribute string) bool {
	rest, ours := strings.CutPrefix(attribute, u.prefix)
	return ours && !strings.HasPrefix(rest, escaped)
}

// inLayer is the name in a layer of an attribute of the union.
func (u *Union) inLayer(attribute string) string {
	if rest, ours := strings.CutPrefix(attribute, u.prefix); ours {
		return u.prefix + escaped + rest
	}
	return attribute
}

// inUnion is the way back.
func (u *Union) inUnion(attribute string) string {
	if rest, ours := strings.CutPrefix(attribute, u.prefix+escaped); ours {
		return u.prefix + rest
	}
	return attribute
}

// copyAttributes copies all extended attributes but the union's own. A file system that has none has none to copy.
func (u *Union) copyAttributes(from, to *os.File) error {
	attributes, err := listxattr(from)
	if errors.Is(err, unix.EOPNOTSUPP) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, attribute := range attributes {
		if u.own(attribute) {
			continue
		}
		value, err := getxattr(from, attribute)
		if err != nil {
			return err
		}
		if err := unix.Setxattr(self(to), attribute, value, 0); err != nil {
			return err
		}
	}
	return nil
}

// getxattr reads an attribute. The kernel allows 64 KiB for one.
func getxattr(file *os.File, attribute string) ([]byte, error) {
	value := make([]byte, 256)
	n, err := unix.Getxattr(self(file), attribute, value)
	if errors.Is(err, unix.ERANGE) {
		value = make([]byte, 64<<10)
		n, err = unix.Getxattr(self(file), attribute, value)
	}
	return value[:max(n, 0)], err
}

// listxattr lists the names of all attributes, for which the kernel allows 64 KiB.
func listxattr(file *os.File) ([]string, error) {
	names := make([]byte, 64<<10)
	n, err := unix.Listxattr(self(file), names)
	if err != nil {
		return nil, err
	}
	return strings.FieldsFunc(string(names[:n]), func(r rune) bool { return r == 0 }), nil
}
