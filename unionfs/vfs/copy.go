// SPDX-License-Identifier: Apache-2.0

package vfs

import (
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// copyFile makes a file with the content of another: one that shares its blocks where the file system can, else a copy that has holes
// where the other has.
func copyFile(ctx context.Context, from, to string, size int64) (err error) {
	// A FIFO could have come here meanwhile, but for O_NONBLOCK and O_NOFOLLOW.
	source, err := os.OpenFile(from, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if size == 0 || unix.IoctlFileClone(int(target.Fd()), int(source.Fd())) == nil {
		return nil
	}
	if err := copyExtents(ctx, target, source, size); err != nil {
		return err
	}
	return target.Truncate(size) // a hole at the end
}

// copyExtents copies what is between holes.
func copyExtents(ctx context.Context, target, source *os.File, size int64) error {
	for end := int64(0); end < size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		start, err := unix.Seek(int(source.Fd()), end, unix.SEEK_DATA)
		if err == unix.ENXIO { // only a hole is left
			return nil
		}
		if err != nil {
			return err
		}
		if end, err = unix.Seek(int(source.Fd()), start, unix.SEEK_HOLE); err != nil {
			return err
		}
		if err := copyRange(ctx, target, source, start, end); err != nil {
			return err
		}
	}
	return nil
}

// piece is how much is copied before somebody who lost patience is heard.
const piece = 64 << 20

// copyRange copies bytes. On Linux [io.CopyN] of two files is copy_file_range(2), where the file system can do that.
func copyRange(ctx context.Context, target, source *os.File, start, end int64) error {
	for _, f := range []*os.File{source, target} {
		if _, err := f.Seek(start, io.SeekStart); err != nil {
			return err
		}
	}
	for start < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(piece, end-start)
		if _, err := io.CopyN(target, source, n); err != nil {
			return err
		}
		start += n
	}
	return nil
}
