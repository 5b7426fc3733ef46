// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"stave/unionfs/layer"
	"stave/unionfs/union"
)

// settle does to a new layer what depends on those below, and counts its files. It waits for the layers below only where it must, and only
// for those that were not there before.
func (l *Layers) settle(ctx context.Context, files string, below []digest.Digest, there map[digest.Digest]bool, implicit []string) (tally, error) {
	found, err := look(files)
	if err != nil {
		return tally{}, err
	}
	var lowers []string
	if len(implicit)+len(found.whiteouts) > 0 {
		if lowers, err = l.await(ctx, below, there); err != nil {
			return tally{}, err
		}
	}
	if len(lowers) > 0 {
		if err := layer.Inherit(files, lowers, implicit, l.options.Layer); err != nil {
			return tally{}, err
		}
	}
	removed, err := l.removeIdle(files, lowers, found.whiteouts)
	found.Entries -= removed
	return found.tally, err
}

// there finds out which layers are unpacked already.
func (l *Layers) there(chains []digest.Digest) map[digest.Digest]bool {
	found := map[digest.Digest]bool{}
	for _, chain := range chains {
		_, err := l.Get(chain)
		found[chain] = err == nil
	}
	return found
}

// await waits until the layers are there, and returns their folders. For one that was there before nobody can be expected to unpack it.
func (l *Layers) await(ctx context.Context, chains []digest.Digest, there map[digest.Digest]bool) ([]string, error) {
	var folders []string
	for _, chain := range chains {
		found, err := l.Get(chain)
		for errors.Is(err, ErrNoLayer) {
			if there[chain] {
				return nil, fmt.Errorf("the layer below was removed meanwhile: %w: unpack the image again", err)
			}
			if err := pause(ctx); err != nil {
				return nil, fmt.Errorf("wait for the layer below, %s: %w", chain, err)
			}
			found, err = l.Get(chain)
		}
		if err != nil {
			return nil, err
		}
		folders = append(folders, found.Path)
	}
	return folders, nil
}

// contents are what look finds in a layer.
type contents struct {
	tally
	whiteouts map[string][]string // by the folder they are in: their names
}

// look walks over a layer.
func look(dir string) (contents, error) {
	found := contents{whiteouts: map[string][]string{}}
	linked := map[uint64]bool{} // by inode number: a layer is on one file system
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return brief(err)
		}
		found.Entries++
		if entry.IsDir() || entry.Type()&fs.ModeSymlink != 0 {
			return nil
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return brief(&fs.PathError{Op: "lstat", Path: path, Err: err})
		}
		switch {
		case stat.Mode&unix.S_IFMT == unix.S_IFCHR && stat.Rdev == 0:
			folder := strings.TrimPrefix(strings.TrimPrefix(filepath.Dir(path), dir), "/")
			found.whiteouts[folder] = append(found.whiteouts[folder], filepath.Base(path))
		case !entry.Type().IsRegular() || stat.Nlink > 1 && linked[stat.Ino]:
			return nil
		case stat.Nlink > 1:
			linked[stat.Ino] = true
			fallthrough
		default:
			found.Bytes += stat.Size
		}
		return nil
	})
	return found, err
}

// brief shortens the path in an error.
func brief(err error) error {
	const most = 300
	var at *fs.PathError
	if errors.As(err, &at) && len(at.Path) > most {
		return &fs.PathError{Op: at.Op, Path: at.Path[:most] + "…", Err: at.Err}
	}
	return err
}

// removeIdle removes the whiteouts in folders that join with none below: they hide nothing, and overlay, which looks for whiteouts only
// where it joins folders, would list them. It returns how many there were.
func (l *Layers) removeIdle(files string, lowers []string, whiteouts map[string][]string) (removed int, err error) {
	if len(whiteouts) == 0 {
		return 0, nil
	}
	var below *union.Union
	if len(lowers) > 0 {
		if below, err = union.New(union.Options{Lower: lowers, User: l.options.Layer.UserXattr}); err != nil {
			return 0, fmt.Errorf("look at the layers below: %w", err)
		}
		defer below.Close()
	}
	for folder, names := range whiteouts {
		joins, err := l.joins(files, folder, below)
		if err != nil {
			return removed, err
		}
		if joins {
			continue
		}
		if err := removeKeepingTime(filepath.Join(files, folder), names); err != nil {
			return removed, err
		}
		removed += len(names)
	}
	return removed, nil
}

// joins says whether a folder of a layer joins with one below: it and all above it are folders there, too, and none is opaque.
func (l *Layers) joins(files, folder string, below *union.Union) (bool, error) {
	if below == nil {
		return false, nil
	}
	for folder != "" && folder != "." {
		info, err := below.Lstat(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			return false, fmt.Errorf("look at %s in the layers below: %w", folder, err)
		}
		if err != nil || !info.IsDir() || Opaque(filepath.Join(files, folder), l.options.Layer.UserXattr) {
			return false, nil
		}
		folder = filepath.Dir(folder)
	}
	return !Opaque(files, l.options.Layer.UserXattr), nil
}

// Opaque says whether a folder of a layer hides what is below it. Ordinary users' attributes have another name.
func Opaque(dir string, user bool) bool {
	name := "trusted.overlay.opaque"
	if user {
		name = "user.overlay.opaque"
	}
	var value [1]byte
	n, err := unix.Lgetxattr(dir, name, value[:])
	return err == nil && n == 1 && value[0] == 'y'
}

// removeKeepingTime removes files of a folder, which keeps its times.
func removeKeepingTime(dir string, names []string) error {
	var stat unix.Stat_t
	if err := unix.Lstat(dir, &stat); err != nil {
		return fmt.Errorf("stat %s: %w", dir, err)
	}
	for _, name := range slices.Sorted(slices.Values(names)) {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, dir, []unix.Timespec{stat.Atim, stat.Mtim}, unix.AT_SYMLINK_NOFOLLOW)
}
