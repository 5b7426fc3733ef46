// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// schilyXattr starts the names of PAX records that hold an extended attribute as it is.
	schilyXattr = "SCHILY.xattr."
	// libarchiveXattr starts those with the name as in a URL and the value in base64.
	libarchiveXattr = "LIBARCHIVE.xattr."
	// schilyACL starts those with an access control list as text.
	schilyACL = "SCHILY.acl."
	// maxXattr is the longest value that the kernel takes (XATTR_SIZE_MAX).
	maxXattr = 64 << 10
)

// xattr is an extended attribute.
type xattr struct {
	name  string
	value []byte
}

// unwanted are starts of names that are no part of an image, with the reason.
var unwanted = []struct{ prefix, why string }{
	{"trusted.overlay.", "overlay would take it for its own"},
	{"user.overlay.", "overlay would take it for its own"},
	{"user.fuseoverlayfs.", "fuse-overlayfs would take it for its own"},
	{"security.selinux", "labels are the host's to give"},
	{"security.evm", "it is signed for one machine"},
}

// foreign says why an extended attribute is no part of an image, or nothing if it is one.
func foreign(name string) string {
	for _, u := range unwanted {
		if strings.HasPrefix(name, u.prefix) {
			return u.why
		}
	}
	return ""
}

// xattrsOf reads the extended attributes of an entry, in the order of their names.
func xattrsOf(h *tar.Header, o *Options) ([]xattr, error) {
	var found []xattr
	size := 0
	for record, value := range h.PAXRecords {
		x, err := parseXattr(record, value)
		if err != nil {
			return nil, err
		}
		if strings.HasPrefix(record, schilyACL) {
			o.notice(h.Name, "access control list with names of users: only those with numbers ("+schilyXattr+aclPrefix+"…) are read")
		}
		if x.name == "" {
			continue
		}
		if why := foreign(x.name); why != "" {
			o.notice(h.Name, "extended attribute "+shown(x.name)+": "+why)
			continue
		}
		if size += len(x.name) + len(x.value); size > o.Limits.Xattrs || len(x.value) > maxXattr {
			return nil, fmt.Errorf("the extended attributes have more than %d bytes, or one more than %d", o.Limits.Xattrs, maxXattr)
		}
		if x.value, err = xattrOutside(o, x.name, x.value); err != nil {
			return nil, fmt.Errorf("extended attribute %s: %w", shown(x.name), err)
		}
		found = append(found, x)
	}
	slices.SortFunc(found, func(a, b xattr) int { return strings.Compare(a.name, b.name) })
	return found, nil
}

// parseXattr reads a PAX record. The attribute of another record has no name.
func parseXattr(record, value string) (xattr, error) {
	if name, ok := strings.CutPrefix(record, schilyXattr); ok {
		return xattr{name, []byte(value)}, nil
	}
	encoded, ok := strings.CutPrefix(record, libarchiveXattr)
	if !ok {
		return xattr{}, nil
	}
	name, err := url.PathUnescape(encoded)
	if err != nil {
		return xattr{}, fmt.Errorf("record %s: %w", shown(record), err)
	}
	decoded, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "="))
	if err != nil {
		return xattr{}, fmt.Errorf("record %s: %w", shown(record), err)
	}
	return xattr{name, decoded}, nil
}

// record is the PAX record of an extended attribute. A name with "=" doesn't fit into the form that most tools read.
func (x xattr) record() (name, value string) {
	if strings.Contains(x.name, "=") {
		return libarchiveXattr + strings.ReplaceAll(url.PathEscape(x.name), "=", "%3D"), base64.RawStdEncoding.EncodeToString(x.value)
	}
	return schilyXattr + x.name, string(x.value)
}

// readXattrs reads all extended attributes of a file, which may be a link, in the order of their names.
func readXattrs(file string) ([]xattr, error) {
	buffer := make([]byte, 1024)
	n, err := unix.Llistxattr(file, buffer)
	if err == unix.ERANGE {
		buffer = make([]byte, maxXattr) // XATTR_LIST_MAX
		n, err = unix.Llistxattr(file, buffer)
	}
	if err == unix.ENOTSUP || n == 0 && err == nil {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list extended attributes: %w", err)
	}
	var found []xattr
	for name := range strings.SplitSeq(strings.TrimSuffix(string(buffer[:n]), "\x00"), "\x00") {
		value, err := readXattr(file, name)
		if err == unix.ENODATA {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read extended attribute %q: %w", name, err)
		}
		found = append(found, xattr{name, value})
	}
	slices.SortFunc(found, func(a, b xattr) int { return strings.Compare(a.name, b.name) })
	return found, nil
}

// readXattr reads the value of one extended attribute.
func readXattr(file, name string) ([]byte, error) {
	buffer := make([]byte, 256)
	n, err := unix.Lgetxattr(file, name, buffer)
	if err == unix.ERANGE {
		buffer = make([]byte, maxXattr)
		n, err = unix.Lgetxattr(file, name, buffer)
	}
	if err != nil {
		return nil, err
	}
	return buffer[:n], nil
}
