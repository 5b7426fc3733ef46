// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"encoding/binary"
	"errors"
	"strings"
)

const (
	// aclPrefix starts the names of access control lists (acl(5)).
	aclPrefix = "system.posix_acl_"
	// aclHeader and aclEntry are sizes in struct posix_acl_xattr_header and posix_acl_xattr_entry.
	aclHeader, aclEntry = 4, 8
	// aclUser and aclGroup are the tags of entries that name a user or a group.
	aclUser, aclGroup = 0x02, 0x08
)

// mapACL changes the numbers of users and groups in an access control list, as the kernel has it in an extended attribute: a
// version, then entries of tag (2 bytes), permissions (2) and number (4), all little-endian.
func mapACL(value []byte, user, group func(uint32) (uint32, error)) ([]byte, error) {
	if len(value) < aclHeader || (len(value)-aclHeader)%aclEntry != 0 {
		return nil, errors.New("the access control list has a wrong size")
	}
	mapped := append([]byte(nil), value...)
	for entry := mapped[aclHeader:]; len(entry) > 0; entry = entry[aclEntry:] {
		change := user
		switch binary.LittleEndian.Uint16(entry) {
		case aclUser:
		case aclGroup:
			change = group
		default:
			continue
		}
		id, err := change(binary.LittleEndian.Uint32(entry[4:]))
		if err != nil {
			return nil, err
		}
		binary.LittleEndian.PutUint32(entry[4:], id)
	}
	return mapped, nil
}

// xattrOutside is the value on disk of an archive's extended attribute.
func xattrOutside(o *Options, name string, value []byte) ([]byte, error) {
	if !o.mapped() || !strings.HasPrefix(name, aclPrefix) {
		return value, nil
	}
	return mapACL(value,
		func(id uint32) (uint32, error) { return outside(o.UIDs, int(id)) },
		func(id uint32) (uint32, error) { return outside(o.GIDs, int(id)) })
}

// xattrInside is the value in an archive of an extended attribute on disk.
func xattrInside(o *Options, name string, value []byte) ([]byte, error) {
	if !o.mapped() || !strings.HasPrefix(name, aclPrefix) {
		return value, nil
	}
	from := func(ranges []Range) func(uint32) (uint32, error) {
		return func(id uint32) (uint32, error) {
			n, err := inside(ranges, id)
			return uint32(n), err
		}
	}
	return mapACL(value, from(o.UIDs), from(o.GIDs))
}
