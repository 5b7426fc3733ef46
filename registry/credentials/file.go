// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// maxFile is how many bytes a configuration file may have.
const maxFile = 4 << 20

// file is a config.json. Of the fields that the package doesn't know it keeps the bytes.
type file struct {
	path    string
	fields  map[string]json.RawMessage
	auths   map[string]json.RawMessage
	helpers map[string]string
	store   string // the helper for all registries that have none of their own
}

// readFile reads a file; one that is not there is empty.
func readFile(path string) (*file, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return parseFile(path, nil)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("read %s: more than %d bytes, which is no file of credentials", path, maxFile)
	}
	return parseFile(path, text)
}

// parseFile reads the text of a file.
func parseFile(path string, text []byte) (*file, error) {
	f := &file{path: path, fields: map[string]json.RawMessage{}, auths: map[string]json.RawMessage{}, helpers: map[string]string{}}
	if len(bytes.TrimSpace(text)) == 0 {
		return f, nil
	}
	if err := json.Unmarshal(text, &f.fields); err != nil {
		return nil, fmt.Errorf("read %s: %w; correct the file or remove it", path, err)
	}
	if f.fields == nil { // null
		f.fields = map[string]json.RawMessage{}
	}
	for name, value := range map[string]any{"auths": &f.auths, "credHelpers": &f.helpers, "credsStore": &f.store} {
		if field, ok := f.fields[name]; ok {
			if err := json.Unmarshal(field, value); err != nil {
				return nil, fmt.Errorf("read %s: %s: %w; correct the file or remove it", path, name, err)
			}
		}
	}
	if f.auths == nil { // null
		f.auths = map[string]json.RawMessage{}
	}
	return f, nil
}

// get is the credential that auths has for a name.
func (f *file) get(name string) (Credential, error) {
	key, found := lookUp(f.auths, name)
	if !found {
		return Credential{}, nil
	}
	c, err := decodeEntry(f.auths[key])
	if err != nil {
		return Credential{}, fmt.Errorf("read %s: auths: %s: %w; log in again or correct the file", f.path, key, err)
	}
	return c, nil
}

// text is the file as it is written.
func (f *file) text() ([]byte, error) {
	auths, err := encode(f.auths)
	if err != nil {
		return nil, err
	}
	f.fields["auths"] = auths
	return encode(f.fields)
}

// encode writes JSON as Docker does: with tabs, and without escapes for what only matters in HTML.
func encode(value any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "\t")
	err := encoder.Encode(value)
	return text.Bytes(), err
}

// change reads a file, lets edit change it, and puts the new one in its place: who reads sees the old one or the new one,
// and so it is after a crash. Two that change the same file wait for each other.
func change(path string, edit func(*file) error) error {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	lock, err := os.Open(folder)
	if err != nil {
		return err
	}
	defer lock.Close() // and with it goes the lock
	if err := flock(lock); err != nil {
		return err
	}
	f, err := readFile(path)
	if err != nil {
		return err
	}
	if err := edit(f); err != nil {
		return err
	}
	text, err := f.text()
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := replace(path, text); err != nil {
		return err
	}
	return lock.Sync()
}

// flock waits for the lock of a folder.
func flock(folder *os.File) error {
	for {
		err := unix.Flock(int(folder.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			return os.NewSyscallError("flock "+folder.Name(), err)
		}
	}
}

// replace writes a file beside the old one and renames it. The name is always the same, so what a crash left is used again.
func replace(path string, text []byte) (err error) {
	temporary := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".stave")
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(temporary)
		}
	}()
	if err := inherit(f, path); err != nil {
		return err
	}
	if _, err := f.Write(text); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return os.Rename(temporary, path)
}

// inherit gives a new file the owner and mode of the old one, if there is one: root that logs in for a user leaves the file to the user.
// Only root can give files away, and others needn't. The mode of a file that everybody may read was nobody's choice for one with passwords.
func inherit(f *os.File, path string) error {
	var old unix.Stat_t
	if err := unix.Stat(path, &old); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return &fs.PathError{Op: "stat", Path: path, Err: err}
	}
	if err := f.Chown(int(old.Uid), int(old.Gid)); err != nil && !errors.Is(err, unix.EPERM) {
		return err
	}
	if old.Mode&0o007 != 0 {
		return nil
	}
	return f.Chmod(fs.FileMode(old.Mode & 0o770))
}
