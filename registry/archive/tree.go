// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"

	"stave/registry"
)

// The limits of what is read of an archive that a stranger has made.
const (
	maxEntries = 200_000
	maxLinks   = 8     // links that lead to links
	maxName    = 4_096 // the bytes of a name, as in Linux (path_resolution(7))
)

// tree tells where in an archive its files are.
type tree struct {
	data  io.ReaderAt
	files map[string]file
}

// file is a regular file, or a link to another.
type file struct {
	offset, size int64
	target       string // of a link, from the top
}

// readTree reads the headers of a tar of size bytes.
func readTree(data io.ReaderAt, size int64) (*tree, error) {
	t := &tree{data: data, files: map[string]file{}}
	at := io.NewSectionReader(data, 0, size)
	headers := tar.NewReader(at) // it seeks over the files
	for entries := 0; ; entries++ {
		h, err := headers.Next()
		if err == io.EOF {
			return t, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read archive: %w", err)
		}
		if entries == maxEntries {
			return nil, fmt.Errorf("archive has more than %d files", maxEntries)
		}
		if len(h.Name) > maxName || len(h.Linkname) > maxName {
			return nil, fmt.Errorf("archive has a name of more than %d bytes: %.40q…", maxName, h.Name)
		}
		name := path.Join("/", h.Name)
		switch h.Typeflag {
		case tar.TypeReg:
			offset, err := at.Seek(0, io.SeekCurrent)
			if err != nil {
				return nil, err
			}
			if h.Size > size-offset {
				return nil, fmt.Errorf("archive ends in %s: %w", h.Name, io.ErrUnexpectedEOF)
			}
			t.files[name] = file{offset: offset, size: h.Size}
		case tar.TypeSymlink:
			// An absolute target, or one with many "..", leads to the top of the archive: there is nothing else.
			target := h.Linkname
			if !path.IsAbs(target) {
				target = path.Join(path.Dir(name), target)
			}
			t.files[name] = file{target: path.Join("/", target)}
		case tar.TypeLink:
			t.files[name] = file{target: path.Join("/", h.Linkname)}
		}
	}
}

// open finds a file, at the end of links too.
func (t *tree) open(name string) (*io.SectionReader, error) {
	full := path.Join("/", name)
	for range maxLinks {
		f, has := t.files[full]
		switch {
		case !has:
			return nil, fmt.Errorf("archive has no file %q: %w", name, registry.ErrNotFound)
		case f.target == "":
			return io.NewSectionReader(t.data, f.offset, f.size), nil
		}
		full = f.target
	}
	return nil, fmt.Errorf("archive: %q is a link that leads to more than %d links", name, maxLinks)
}

// has says whether there is a file.
func (t *tree) has(name string) bool {
	_, err := t.open(name)
	return err == nil
}

// decode reads JSON that a stranger has made.
func decode(text []byte, to any) error {
	if err := registry.CheckJSON(text); err != nil {
		return err
	}
	return json.Unmarshal(text, to)
}

// read reads a small file.
func (t *tree) read(name string) ([]byte, error) {
	f, err := t.open(name)
	if err != nil {
		return nil, err
	}
	if f.Size() > registry.MaxManifest {
		return nil, fmt.Errorf("archive: %s has %d bytes, at most %d are read", name, f.Size(), registry.MaxManifest)
	}
	data := make([]byte, f.Size())
	if _, err := io.ReadFull(f, data); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("archive: read %s: %w", name, err)
	}
	return data, nil
}
