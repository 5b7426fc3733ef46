// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// The names in a layer's folder.
const (
	filesName  = "fs"
	recordName = "layer.json"
)

// record is a layer's layer.json.
//
// Unpacking waits for no disk: to sync a large layer takes longer than to unpack it. A crash of the machine may then leave a layer
// that is there and lacks files or their content. So the record has the number of the boot in which the layer was made. As long
// as the machine runs, all is in memory at least. After that, the first one who wants the layer counts what came back from
// the disk: if it is what was written, the boot is taken out of the record, and if not, the layer counts as missing and
// is unpacked again. This relies on a file system that writes the content of a file before its length, as ext4 (data=ordered),
// XFS and btrfs do.
type record struct {
	ChainID digest.Digest `json:"chainID"`
	DiffID  digest.Digest `json:"diffID"`
	tally
	Boot string `json:"boot,omitempty"`
}

// tally is how much a tree holds.
type tally struct {
	Entries int   `json:"entries"`
	Bytes   int64 `json:"bytes"` // of regular files, each counted once
}

// readRecord reads the record in a layer's folder.
func readRecord(dir string) (record, error) {
	var r record
	text, err := os.ReadFile(filepath.Join(dir, recordName))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("%s: %w", filepath.Join(dir, recordName), err)
	}
	return r, nil
}

// write writes the record under another name, and renames it.
func (r record) write(dir string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(dir, recordName)
	if err := os.WriteFile(name+".new", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// trust counts a layer that was made before the machine was started.
func (r record) trust(dir string, boot func() string) error {
	if r.Boot == "" || r.Boot == boot() {
		return nil
	}
	found, err := count(filepath.Join(dir, filesName))
	if err != nil {
		return err
	}
	if found != r.tally {
		return fmt.Errorf("after a crash of the machine it has %d files with %d bytes, of %d with %d", found.Entries, found.Bytes, r.Entries, r.Bytes)
	}
	lock, err := lockFolder(dir, unix.LOCK_EX)
	if err != nil {
		return err
	}
	defer lock.Close()
	r.Boot = ""
	if err := r.write(dir); err != nil && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) {
		return err
	}
	return nil
}

// bootID is the number of this boot, and empty where the kernel doesn't tell.
func bootID() string {
	text, err := os.ReadFile(bootFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// count walks over a tree.
func count(dir string) (tally, error) {
	found, err := look(dir)
	return found.tally, err
}
