// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/sys/unix"
)

// pageSize is the size of the holes that are kept in sparse files.
const pageSize = 4096

// regular makes a regular file.
func (u *unpacker) regular(dir place, base string, h *tar.Header, content io.Reader) (err error) {
	a, err := attributesOf(h, &u.o)
	if err != nil {
		return err
	}
	if h.Size > u.o.Limits.Bytes-u.result.Bytes {
		return fmt.Errorf("with its %d bytes the layer has more than %d", h.Size, u.o.Limits.Bytes)
	}
	fd := -1
	err = u.replacing(dir, base, func() (err error) {
		fd, err = unix.Openat(dir.fd, base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
		return err
	})
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	defer func() {
		if e := unix.Close(fd); err == nil && e != nil {
			err = fmt.Errorf("close: %w", e)
		}
	}()
	if isSparse(h) {
		err = u.writeSparse(fd, h.Size, content)
	} else {
		err = u.write(fd, content)
	}
	if err != nil {
		return err
	}
	u.result.Bytes += h.Size
	return u.applyFile(fd, dir, base, &a)
}

// isSparse says whether an entry lists the holes of its file, in one of GNU's four ways.
func isSparse(h *tar.Header) bool {
	if h.Typeflag == tar.TypeGNUSparse {
		return true
	}
	for record := range h.PAXRecords {
		if strings.HasPrefix(record, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// write copies the content of a file.
func (u *unpacker) write(fd int, content io.Reader) error {
	for {
		n, err := content.Read(u.buffer)
		if e := writeAll(fd, u.buffer[:n], -1); e != nil {
			return e
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// writeSparse copies the content of a file and leaves out pages of zeros.
func (u *unpacker) writeSparse(fd int, size int64, content io.Reader) error {
	if err := unix.Ftruncate(fd, size); err != nil {
		return fmt.Errorf("truncate to %d bytes: %w", size, err)
	}
	for offset := int64(0); offset < size; {
		n, err := io.ReadFull(content, u.buffer[:min(int64(len(u.buffer)), size-offset)])
		if err != nil {
			return err
		}
		if err := writePages(fd, u.buffer[:n], offset); err != nil {
			return err
		}
		offset += int64(n)
	}
	// The file has its length before its content, so that after a crash the length does not tell that the content is there.
	if err := unix.Fdatasync(fd); err != nil {
		return fmt.Errorf("sync: %w", err)
	}
	return nil
}

// writePages writes the pages that are not zero.
func writePages(fd int, data []byte, offset int64) error {
	for len(data) > 0 {
		page := data[:min(len(data), pageSize)]
		if page[0] != 0 || !bytes.Equal(page[1:], page[:len(page)-1]) {
			if err := writeAll(fd, page, offset); err != nil {
				return err
			}
		}
		data, offset = data[len(page):], offset+int64(len(page))
	}
	return nil
}

// writeAll writes all bytes, at an offset, or with -1 where the last write ended.
func writeAll(fd int, data []byte, offset int64) error {
	for len(data) > 0 {
		var n int
		var err error
		if offset < 0 {
			n, err = unix.Write(fd, data)
		} else {
			n, err = unix.Pwrite(fd, data, offset)
			offset += int64(max(n, 0))
		}
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		data = data[n:]
	}
	return nil
}

// link makes another name for a file of this layer.
func (u *unpacker) link(dir place, base string, h *tar.Header) error {
	name, err := relative(h.Linkname)
	if err != nil {
		return fmt.Errorf("hard link to %s: %w", shown(h.Linkname), err)
	}
	above, target := split(name)
	from, err := u.tree.directory(above)
	if err != nil {
		return fmt.Errorf("hard link to %s: %w", shown(h.Linkname), err)
	}
	var there, s unix.Stat_t
	if err := unix.Fstatat(from.fd, target, &s, unix.AT_SYMLINK_NOFOLLOW); err != nil || isWhiteout(&s) {
		return fmt.Errorf("hard link to %s: there is no such file in this layer before it", shown(h.Linkname))
	}
	if s.Mode&unix.S_IFMT == unix.S_IFDIR {
		return fmt.Errorf("hard link to %s: it is a directory", shown(h.Linkname))
	}
	if unix.Fstatat(dir.fd, base, &there, unix.AT_SYMLINK_NOFOLLOW) == nil && there.Ino == s.Ino && there.Dev == s.Dev {
		return nil // it is this file already, and to remove it would remove the target
	}
	err = u.replacing(dir, base, func() error {
		from, err := u.tree.directory(above) // what was removed for the link may have been the directory, or above it
		if err != nil {
			return err
		}
		return unix.Linkat(from.fd, target, dir.fd, base, 0)
	})
	if err != nil {
		return fmt.Errorf("hard link to %s: %w", shown(h.Linkname), err)
	}
	return nil
}

// node makes a symbolic link, a device or a fifo.
func (u *unpacker) node(dir place, base string, h *tar.Header) error {
	a, err := attributesOf(h, &u.o)
	if err != nil {
		return err
	}
	device := h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock
	err = u.replacing(dir, base, func() error { return makeNode(dir.fd, base, h) })
	switch {
	case err == unix.EPERM && device && u.o.SkipDevices:
		u.o.notice(h.Name, "device node: "+err.Error())
		return nil
	case err == unix.EPERM && device:
		return fmt.Errorf("make device %d:%d: %w: only root outside of user namespaces may", h.Devmajor, h.Devminor, err)
	case err != nil:
		return fmt.Errorf("create: %w", err)
	}
	if h.Typeflag == tar.TypeChar && h.Devmajor == 0 && h.Devminor == 0 {
		u.o.notice(h.Name, "character device 0:0: it is overlay's whiteout, and shows as no file")
		return nil
	}
	return u.applyNode(dir, base, &a, h.Typeflag == tar.TypeSymlink)
}

// makeNode makes a file without content.
func makeNode(dir int, base string, h *tar.Header) error {
	if h.Typeflag == tar.TypeSymlink {
		if len(h.Linkname) > maxPath || h.Linkname == "" {
			return fmt.Errorf("symbolic link with %d bytes: 1 to %d are possible", len(h.Linkname), maxPath)
		}
		return unix.Symlinkat(h.Linkname, dir, base)
	}
	kind := uint32(unix.S_IFIFO)
	var number uint64
	if h.Typeflag != tar.TypeFifo {
		if h.Devmajor < 0 || h.Devmajor > 1<<12-1 || h.Devminor < 0 || h.Devminor > 1<<20-1 {
			return fmt.Errorf("device %d:%d: the kernel has majors to 4095 and minors to 1048575", h.Devmajor, h.Devminor)
		}
		number = unix.Mkdev(uint32(h.Devmajor), uint32(h.Devminor))
		kind = unix.S_IFCHR
		if h.Typeflag == tar.TypeBlock {
			kind = unix.S_IFBLK
		}
	}
	return unix.Mknodat(dir, base, kind|0o600, int(number))
}
