// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"errors"
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// view shows folders on top of each other, as overlay does.
type view struct {
	o     Options
	trees []*tree // the topmost first
}

// openView opens folders, the lowest first. Close the view.
func openView(lowers []string, o Options) (*view, error) {
	v := &view{o: o}
	for _, dir := range slices.Backward(lowers) {
		t, err := openTree(dir)
		if err != nil {
			return nil, errors.Join(err, v.Close())
		}
		v.trees = append(v.trees, t)
	}
	return v, nil
}

// Close closes all folders.
func (v *view) Close() error {
	var all error
	for _, t := range v.trees {
		all = errors.Join(all, t.Close())
	}
	return all
}

// find describes the file that shows at a path, if there is one.
func (v *view) find(path string) (file, bool, error) {
	for _, t := range v.trees {
		f, err := t.find(path)
		if err == nil {
			above, _ := split(path)
			parent, err := t.find(above)
			return f, err == nil && !f.whiteout(&parent, &v.o), err
		}
		if !missing(err) {
			return file{}, false, err
		}
		if hides, err := v.hides(t, path); err != nil || hides {
			return file{}, false, err
		}
	}
	return file{}, false, nil
}

// hides says whether a folder that doesn't have a path keeps it from showing in those below: the last directory on the path that
// the folder has is opaque, or what follows it is no directory.
func (v *view) hides(t *tree, path string) (bool, error) {
	for at := path; at != ""; {
		at, _ = split(at)
		f, err := t.find(at)
		if missing(err) {
			continue
		}
		if err != nil {
			return false, err
		}
		return !f.isDir() || v.opaque(t, at), nil
	}
	return false, nil
}

// opaque says whether a directory of a folder, or one above it, hides all below it.
func (v *view) opaque(t *tree, path string) bool {
	for {
		f, err := t.find(path)
		if err != nil || f.opaque(&v.o) {
			return true
		}
		if path == "" {
			return false
		}
		path, _ = split(path)
	}
}

// names are those that show in a directory, sorted.
func (v *view) names(path string) ([]string, error) {
	shown := map[string]bool{}
	for _, t := range v.trees {
		f, err := t.find(path)
		if missing(err) {
			if hides, err := v.hides(t, path); err != nil || hides {
				return visible(shown), err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		if !f.isDir() {
			break
		}
		if err := v.read(t, &f, shown); err != nil {
			return nil, err
		}
		if v.opaque(t, path) {
			break
		}
	}
	return visible(shown), nil
}

// read adds the names of one folder's directory to those of the folders above it. Whiteouts hide names from then on.
func (v *view) read(t *tree, parent *file, shown map[string]bool) error {
	dir, names, err := t.list(parent.path)
	if err != nil {
		return err
	}
	defer unix.Close(dir.fd)
	for _, name := range names {
		if _, known := shown[name]; known {
			continue
		}
		f, err := lookup(dir, name)
		if err != nil {
			return named(join(parent.path, name), err)
		}
		shown[name] = !f.whiteout(parent, &v.o)
	}
	return nil
}

// visible are the names that no whiteout hides, sorted.
func visible(shown map[string]bool) []string {
	maps.DeleteFunc(shown, func(_ string, visible bool) bool { return !visible })
	return slices.Sorted(maps.Keys(shown))
}
