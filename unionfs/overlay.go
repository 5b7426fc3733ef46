// SPDX-License-Identifier: Apache-2.0

package unionfs

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"stave/kernel"
	"stave/unionfs/layer"
)

// maxOverlay is how many lower folders the kernel joins at most (fs/overlayfs, OVL_MAX_STACK).
const maxOverlay = 500

// Overlay is the driver that lets the kernel join the layers (Documentation/filesystems/overlayfs.rst). In the container's folder are
//
//	layers/0, 1, …   links to the layers, the lowest first
//	diff             what the container wrote: overlay's upper folder
//	work             overlay's own
//	empty/0, 1       lower folders where there are fewer layers than overlay wants
//	merged           where the root is mounted
//
// The mount lives in the container's mount namespace alone. Its options are the same whatever the kernel was configured with: see
// [Overlay.options].
type Overlay struct {
	// Metacopy copies up only the attributes of a file whose mode, owner or time changes, not its bytes, and lets a folder of a layer be
	// renamed. What was written is then no layer by itself, and Changes reads the rest through a view.
	Metacopy bool
	// UserXattr keeps overlay's marks in user.overlay.* instead of trusted.overlay.*: for layers of an ordinary user, and mounts
	// in a user namespace (Linux 5.11). The kernel has no Metacopy then.
	UserXattr bool
}

// Name is overlay.
func (Overlay) Name() string { return "overlay" }

// Supported mounts a small overlay in a folder, for nobody to see, and says why that can't be.
func (o Overlay) Supported(dir string) error {
	return Try(o, dir, func(s Stack) error {
		if _, err := o.Prepare(context.Background(), s); err != nil {
			return err
		}
		_, done, err := o.View(context.Background(), s)
		if err != nil {
			return err
		}
		return done()
	})
}

// Prepare makes the folders. The mount is left to the container's process.
func (o Overlay) Prepare(_ context.Context, s Stack) (Root, error) {
	if err := o.makeFolders(s); err != nil {
		return Root{}, err
	}
	m := o.mount(s)
	if !s.ReadOnly && s.Volatile {
		if _, err := allowVolatile(s.Dir); err != nil {
			return Root{}, err
		}
	}
	return Root{Path: m.Target, Calls: []kernel.Call{{
		Request: m, Why: "the image's layers appear as one folder, and what is written goes to a folder of the container's own",
	}}}, nil
}

// makeFolders makes what is missing in the container's folder.
func (o Overlay) makeFolders(s Stack) error {
	if len(s.Layers) > maxOverlay {
		return fmt.Errorf("overlay: %d layers, and the kernel joins at most %d: use the driver vfs", len(s.Layers), maxOverlay)
	}
	if err := linkLayers(filepath.Join(s.Dir, "layers"), s.Layers); err != nil {
		return err
	}
	names := []string{"merged"}
	for i := range max(0, 2-len(s.Layers)) { // two also where one is enough: the layers alone may be viewed, too
		names = append(names, filepath.Join("empty", strconv.Itoa(i)))
	}
	if !s.ReadOnly {
		names = append(names, "work")
		if err := makeUpper(filepath.Join(s.Dir, "diff"), s.Layers); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := os.MkdirAll(filepath.Join(s.Dir, name), 0o755); err != nil {
			return fmt.Errorf("overlay: make a folder of the container: %w", err)
		}
	}
	return nil
}

// missing is how many empty folders overlay needs beside the layers: it joins one with an upper folder, or two.
func (Overlay) missing(s Stack) int {
	if s.ReadOnly {
		return max(0, 2-len(s.Layers))
	}
	return max(0, 1-len(s.Layers))
}

// mount plans the mount.
func (o Overlay) mount(s Stack) OverlayMount {
	m := OverlayMount{Target: filepath.Join(s.Dir, "merged"), Options: o.options(s)}
	for i := range o.missing(s) {
		m.Lower = append(m.Lower, filepath.Join(s.Dir, "empty", strconv.Itoa(i)))
	}
	for _, l := range s.Layers {
		m.Lower = append(m.Lower, l.Path)
	}
	if !s.ReadOnly {
		m.Upper, m.Work = filepath.Join(s.Dir, "diff"), filepath.Join(s.Dir, "work")
	}
	if m.plain() && oneByOne() {
		return m
	}
	return m.short(s)
}

// short is the same mount with paths relative to the folder of links.
func (m OverlayMount) short(s Stack) OverlayMount {
	m.Dir = filepath.Join(s.Dir, "layers")
	m.Lower = slices.Clone(m.Lower)
	for i := range s.Layers {
		m.Lower[len(m.Lower)-len(s.Layers)+i] = ShortPath(s, i)
	}
	for i := range len(m.Lower) - len(s.Layers) {
		m.Lower[i] = "../empty/" + strconv.Itoa(i)
	}
	if m.Upper != "" {
		m.Upper, m.Work = "../diff", "../work"
	}
	return m
}

// ShortPath is the path of a stack's layer relative to the folder of links, "layers" in the stack's folder. What [Layered] puts on top of
// the layers has no link.
func ShortPath(s Stack, i int) string {
	name, path := strconv.Itoa(i), s.Layers[i].Path
	if target, err := os.Readlink(filepath.Join(s.Dir, "layers", name)); err == nil && target == path {
		return name
	}
	if path == filepath.Join(s.Dir, "diff") {
		return "../diff"
	}
	return path
}

// Upper is the upper folder, unless that has only references to files of the layers ([Overlay.Metacopy]).
func (o Overlay) Upper(s Stack) (Layer, bool) {
	return Layer{Path: filepath.Join(s.Dir, "diff")}, !o.Metacopy && !s.ReadOnly
}

// options are overlay's options, each said even where it is the default: a kernel, or somebody who loads the module, may have
// chosen another one.
//
//   - index=off: an index binds the upper folder to the very folders below it, by their inode numbers; a layer that was removed and
//     unpacked again, or a container's folder that was copied, could not be mounted any more (ESTALE). nfs_export needs it, and is off then.
//   - metacopy=off and redirect_dir=nofollow: a file in the upper folder is whole, and a folder there stands where it stood, so
//     that the upper folder is the container's layer; and nothing in a layer, which is somebody else's, points elsewhere.
//   - xino=auto: inode numbers stay what they are and differ between layers, also when these are on several file systems.
//   - userxattr: the marks of an ordinary user.
//   - volatile: no sync(2) of what was written.
func (o Overlay) options(s Stack) []string {
	options := []string{"index=off", "metacopy=off", "redirect_dir=nofollow", "xino=auto"}
	if o.Metacopy && !s.ReadOnly {
		options = []string{"index=off", "metacopy=on", "redirect_dir=on", "xino=auto"}
	}
	if o.UserXattr {
		options = append(options, "userxattr")
	}
	if s.Volatile && !s.ReadOnly {
		options = append(options, "volatile")
	}
	return options
}

// Changes packs the upper folder, which is the layer, but for [Overlay.Metacopy].
func (o Overlay) Changes(ctx context.Context, s Stack, w io.Writer) (err error) {
	if s.ReadOnly {
		return fmt.Errorf("overlay: %s: a read-only root has no changes", s.Dir)
	}
	options := layer.Options{UserXattr: o.UserXattr, Below: filepath.Join(s.Dir, "empty", "0")}
	if n := len(s.Layers); n > 0 {
		options.Below = s.Layers[n-1].Path
	}
	if o.Metacopy {
		view, done, err := o.View(ctx, s)
		if err != nil {
			return err
		}
		defer closing(done, &err)
		options.View = view
	}
	return layer.Pack(ctx, w, filepath.Join(s.Dir, "diff"), options)
}

// closing calls what ends a view, and keeps its error if there is no other.
func closing(done func() error, err *error) {
	if e := done(); *err == nil {
		*err = e
	}
}

// Remove removes the folders.
func (Overlay) Remove(_ context.Context, s Stack) error {
	return RemoveFolders(s.Dir, "diff", "work", "merged", "layers", "empty", "volatile")
}

// special are the characters that mean something in options of mount(2).
const special = `,:\`

// plain says whether fsconfig(2) takes the paths as they are: it has room for 255 bytes, and overlay finds meaning in some characters.
func (m OverlayMount) plain() bool {
	for _, path := range append([]string{m.Upper, m.Work}, m.Lower...) {
		if len(path) > 255 || strings.ContainsAny(path, special) {
			return false
		}
	}
	return true
}
