// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

const (
	// whiteoutPrefix starts the name of an entry that deletes: the rest is the deleted name.
	whiteoutPrefix = ".wh."
	// metaPrefix starts the names that aufs, the first union file system of Docker, had for itself.
	metaPrefix = whiteoutPrefix + whiteoutPrefix
	// opaqueName is the entry that hides all that is below its directory.
	opaqueName = metaPrefix + ".opq"
	// maxPath is the longest path that the kernel takes, without the NUL (PATH_MAX).
	maxPath = 4095
	// maxName is the longest path in a layer: it leaves room for that of the folder where the layer is.
	maxName = 3071
	// maxDepth is how many names a path in a layer has.
	maxDepth = 512
	// shownName is how much of a name an error shows.
	shownName = 200
)

// meaning is what the name of an entry asks for.
type meaning int

// The meanings of names.
const (
	makes   meaning = iota // a file
	deletes                // a whiteout
	hides                  // the opaque mark
	nothing                // aufs's own
)

// relative is the path of an entry below the folder: "usr/bin", and "" for the folder itself. As other tools do, it takes the
// slashes off the start; unlike some, it takes no "..".
func relative(name string) (string, error) {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", errors.New(`the name has ".." in it, which could lead out of the layer`)
		}
	}
	cleaned := path.Clean(strings.TrimLeft(name, "/"))
	if cleaned == "." {
		return "", nil
	}
	if err := inBounds(cleaned); err != nil {
		return "", err
	}
	return cleaned, nil
}

// inBounds refuses a relative path that is too long or too deep.
func inBounds(path string) error {
	if len(path) > maxName {
		return fmt.Errorf("the path has %d bytes, at most %d are possible", len(path), maxName)
	}
	if depth := strings.Count(path, "/") + 1; depth > maxDepth {
		return fmt.Errorf("the path is %d levels deep, at most %d are possible", depth, maxDepth)
	}
	return nil
}

// interpret tells what a relative path asks for, and for which path.
func interpret(name string) (meaning, string, error) {
	if !strings.Contains(name, whiteoutPrefix) {
		return makes, name, nil
	}
	dir, base := split(name)
	for part := range strings.SplitSeq(dir, "/") {
		if strings.HasPrefix(part, metaPrefix) {
			return nothing, "", nil
		}
		if strings.HasPrefix(part, whiteoutPrefix) {
			return nothing, "", fmt.Errorf("directory %q has the name of a whiteout", part)
		}
	}
	switch {
	case base == opaqueName:
		return hides, dir, nil
	case strings.HasPrefix(base, metaPrefix):
		return nothing, "", nil
	case !strings.HasPrefix(base, whiteoutPrefix):
		return makes, name, nil
	}
	deleted := strings.TrimPrefix(base, whiteoutPrefix)
	if deleted == "" || deleted == "." || deleted == ".." {
		return nothing, "", errors.New("the whiteout names no file")
	}
	return deletes, path.Join(dir, deleted), nil
}

// split divides a relative path into its directory, "" for the folder itself, and its last name.
func split(name string) (dir, base string) {
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		return name[:i], name[i+1:]
	}
	return "", name
}

// shown is a foreign name for an error or a terminal.
func shown(name string) string {
	if len(name) > shownName {
		return fmt.Sprintf("%q…", name[:shownName])
	}
	return fmt.Sprintf("%q", name)
}
