// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// holdersName is the folder of those who need layers.
const holdersName = "holders"

// Refer keeps a layer from being collected until [Layers.Release] of the same holder, such as "container-ID". The layer need not be
// there yet. To refer again changes nothing.
func (l *Layers) Refer(chain digest.Digest, holder string) error {
	if _, err := l.path(chain); err != nil {
		return err
	}
	dir, err := l.holder(holder)
	if err != nil {
		return err
	}
	lock, err := lockFolder(filepath.Dir(dir), unix.LOCK_SH)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("refer to layer %s: %w", chain, err)
	}
	name := chain.Encoded()
	if err := os.Symlink("../../"+name, filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("refer to layer %s: %w", chain, err)
	}
	return nil
}

// Release takes all references of a holder away. One that has none is no error.
func (l *Layers) Release(holder string) error {
	dir, err := l.holder(holder)
	if err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("release the layers of %s: %w", holder, err)
	}
	return nil
}

// holder is the folder of a holder.
func (l *Layers) holder(name string) (string, error) {
	if name == "" || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\x00") {
		return "", fmt.Errorf("holder %q of a layer: wants the name of a file", name)
	}
	return filepath.Join(l.dir, holdersName, name), nil
}

// held are the names of the layers that somebody needs.
func (l *Layers) held() (map[string]bool, error) {
	held := map[string]bool{}
	holders, err := os.ReadDir(filepath.Join(l.dir, holdersName))
	if err != nil {
		return nil, err
	}
	for _, holder := range holders {
		layers, err := os.ReadDir(filepath.Join(l.dir, holdersName, holder.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may have been released since
			return nil, err
		}
		for _, layer := range layers {
			held[layer.Name()] = true
		}
	}
	return held, nil
}

// Holders lists those who refer to layers, so that their owners find the ones that a killed process left behind.
func (l *Layers) Holders() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(l.dir, holdersName))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names, nil
}
