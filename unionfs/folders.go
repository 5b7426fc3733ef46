// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// linkLayers makes a folder of links to the layers, and refuses one that has others.
func linkLayers(dir string, layers []Layer) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return makeLinks(dir, layers)
	}
	if err != nil {
		return fmt.Errorf("overlay: %w", err)
	}
	if len(entries) != len(layers) {
		return fmt.Errorf("overlay: %s has %d layers, and now there are %d: remove the container and make it anew", dir, len(entries), len(layers))
	}
	for i, l := range layers {
		target, err := os.Readlink(filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			return fmt.Errorf("overlay: %w", err)
		}
		if target != l.Path {
			return fmt.Errorf("overlay: layer %d of %s is %s, and now it is %s: remove the container and make it anew", i, dir, target, l.Path)
		}
	}
	return nil
}

// makeLinks makes the folder of links at once: under another name first.
func makeLinks(dir string, layers []Layer) error {
	return Appear(dir, func(temp string) error {
		for i, l := range layers {
			if err := os.Symlink(l.Path, filepath.Join(temp, strconv.Itoa(i))); err != nil {
				return err
			}
		}
		return nil
	})
}

// Appear makes a folder that is there whole or not at all. One that is there is left alone.
func Appear(dir string, fill func(temp string) error) error {
	if _, err := os.Lstat(dir); err == nil {
		return nil
	}
	temp := filepath.Join(filepath.Dir(dir), "."+filepath.Base(dir))
	if err := os.RemoveAll(temp); err != nil { // of somebody who was killed here
		return fmt.Errorf("make %s: %w", dir, err)
	}
	if err := os.Mkdir(temp, 0o755); err != nil {
		return fmt.Errorf("make %s: %w", dir, err)
	}
	err := fill(temp)
	if err == nil {
		err = os.Rename(temp, dir)
	}
	if err != nil {
		os.RemoveAll(temp)
		return fmt.Errorf("make %s: %w", dir, err)
	}
	return nil
}

// makeUpper makes the upper folder, with the mode, owner and extended attributes of the top layer's: it is the root of all.
func makeUpper(dir string, layers []Layer) error {
	return Appear(dir, func(temp string) error {
		if len(layers) == 0 {
			return os.Chmod(temp, 0o755)
		}
		return CopyAttributes(layers[len(layers)-1].Path, temp)
	})
}

// RemoveFolders removes folders of a container's folder, and what was half made or half removed of them. Each loses its name first, so that
// no part of one is taken for the whole later.
func RemoveFolders(dir string, names ...string) error {
	for _, name := range names {
		path, temp := filepath.Join(dir, name), filepath.Join(dir, "."+name)
		err := removeAll(temp)
		if err == nil {
			err = os.Rename(path, temp)
		}
		if err == nil {
			err = removeAll(temp)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove %s: %w", path, err)
		}
	}
	return nil
}
