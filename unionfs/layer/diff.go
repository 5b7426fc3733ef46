// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Diff writes the layer archive that makes the tree new of the tree old.
func Diff(ctx context.Context, w io.Writer, old, new string, o Options) (err error) {
	changes, groups, err := compare(ctx, old, new, o)
	if err != nil {
		return err
	}
	p, closeAll, err := newPacker(w, new, o)
	if err != nil {
		return fmt.Errorf("pack a layer: %w", err)
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	root, err := p.tree.find("")
	if err == nil {
		err = p.root(&root, old)
	}
	if err != nil {
		return fmt.Errorf("pack a layer of %s: %w", new, err)
	}
	for _, c := range withGroups(changes, groups) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.change(c); err != nil {
			return fmt.Errorf("pack a layer of %s: %w", new, named(c.Path[1:], err))
		}
	}
	if err := p.archive.Close(); err != nil {
		return fmt.Errorf("pack a layer of %s: %w", new, err)
	}
	return nil
}

// change writes the entry of one change. A file that was removed since is deleted, too.
func (p *packer) change(c Change) error {
	above, base := split(c.Path[1:])
	if c.Kind == Deleted {
		return p.mark(join(above, whiteoutPrefix+base))
	}
	dir, err := p.tree.strict(above)
	if missing(err) {
		return nil // with the directory
	}
	if err != nil {
		return err
	}
	f, err := lookup(dir, base)
	if err == nil {
		err = p.write(dir, &f, false)
	}
	switch gone := p.vanished(dir, base, err); {
	case gone && c.Kind == Changed:
		return p.mark(join(above, whiteoutPrefix+base))
	case gone:
		return nil
	}
	return err
}

// withGroups adds to the changes all other names of files that changed: the layer must have all, for a link in it can't lead to a
// file of another layer.
func withGroups(changes []Change, groups links) []Change {
	seen := map[string]bool{}
	for _, c := range changes {
		seen[c.Path] = true
	}
	all := slices.Clone(changes)
	for _, c := range changes {
		if c.Kind == Deleted {
			continue
		}
		for _, other := range groups.names[groups.of[c.Path[1:]]] {
			if !seen["/"+other] {
				seen["/"+other] = true
				all = append(all, Change{Changed, "/" + other})
			}
		}
	}
	return withParents(all)
}

// withParents adds the directories above all changes, and sorts by path, each directory before what is in it.
func withParents(changes []Change) []Change {
	seen := map[string]bool{}
	for _, c := range changes {
		seen[c.Path] = true
	}
	for _, c := range changes {
		for i := strings.LastIndexByte(c.Path, '/'); i > 0; i = strings.LastIndexByte(c.Path[:i], '/') {
			if seen[c.Path[:i]] {
				break // and those above it are, or will be when it is its turn
			}
			seen[c.Path[:i]] = true
			changes = append(changes, Change{Changed, c.Path[:i]})
		}
	}
	slices.SortFunc(changes, func(a, b Change) int { return comparePaths(a.Path, b.Path) })
	return changes
}

// comparePaths orders as a walk does that goes through the names of each directory in order: "/a/b" before "/a.b".
func comparePaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		switch {
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		}
		return int(a[i]) - int(b[i])
	}
	return len(a) - len(b)
}

// links are the files of a tree that have several names, by the inode.
type links struct {
	of    map[string]inode   // of a name
	names map[inode][]string // in the order of a walk
}

// findLinks goes through a tree.
func findLinks(ctx context.Context, t *tree) (links, error) {
	found := links{map[string]inode{}, map[inode][]string{}}
	err := found.walk(ctx, t, "")
	return found, err
}

// walk goes through one directory.
func (l links) walk(ctx context.Context, t *tree, path string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	dir, names, err := t.list(path)
	if err != nil {
		return err
	}
	defer closeQuietly(dir)
	for _, name := range names {
		f, err := stat(dir, name)
		if err == nil && f.isDir() {
			err = l.walk(ctx, t, f.path)
		}
		if vanished(dir, name, err) {
			continue
		}
		if err != nil {
			return named(f.path, err)
		}
		if f.linked() {
			l.of[f.path] = f.inode()
			l.names[f.inode()] = append(l.names[f.inode()], f.path)
		}
	}
	return nil
}

// first is the first name of the file that has this one.
func (l links) first(path string) string {
	if i, ok := l.of[path]; ok {
		return l.names[i][0]
	}
	return path
}
