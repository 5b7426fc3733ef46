// SPDX-License-Identifier: Apache-2.0

package images

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"stave/cgroups"
	"stave/registry"
	"stave/registry/layout"
	"stave/unionfs"
)

// Options say how images are kept and found.
type Options struct {
	// Repository opens a repository of a registry, by a name whose tag or digest doesn't matter.
	Repository func(named reference.Named) (registry.Store, error)
	// Users lists who uses images. Without it nobody does.
	Users func(ctx context.Context) ([]User, error)
	// Layers are the options for unpacked layers. Who is not root of the machine gets those that such a user needs.
	Layers unionfs.LayersOptions
}

// User is a container that was made from an image.
type User struct {
	// ID is the container's, Image that of the image.
	ID    string
	Image digest.Digest
	// Running is one whose processes live.
	Running bool
}

// Images are the images of a state folder. All methods may be called by several goroutines and processes at once.
type Images struct {
	dir    string
	layout *layout.Layout
	layers *unionfs.Layers
	o      Options
}

// Open returns the images of a state folder, which it makes if it isn't there.
func Open(state string, o Options) (*Images, error) {
	if err := os.MkdirAll(state, 0o711); err != nil {
		return nil, fmt.Errorf("the folder for images: %w", err)
	}
	s := &Images{dir: state, o: o}
	err := private(filepath.Join(state, "images"))
	if err != nil {
		return nil, err
	}
	if s.layout, err = layout.Open(filepath.Join(state, "images")); err != nil {
		return nil, err
	}
	if s.layers, err = unionfs.OpenLayers(filepath.Join(state, "layers"), layersOptions(o.Layers)); err != nil {
		return nil, err
	}
	return s, nil
}

// private makes a folder that is the owner's alone, also one that was there before: images may be secret, and who can open a lock can
// hold it. Layers stay open to the ids of a container, which are others'.
func private(dir string) error {
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	stat, err := os.Stat(dir)
	if err != nil || stat.Mode().Perm() == 0o700 {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// layersOptions adds what an ordinary user needs: he can't make devices, nor files of others, and whiteouts are marked by extended
// attributes that he may set. Root of a user namespace can give files to the others that it has, if any.
func layersOptions(o unionfs.LayersOptions) unionfs.LayersOptions {
	if !cgroups.Root() {
		o.Layer.UserXattr, o.Layer.SkipDevices = true, true
	}
	o.Layer.SkipOwners = o.Layer.SkipOwners || os.Geteuid() != 0 || alone()
	return o
}

// alone tells whether the user namespace has one user only, so that no file can be given to another (user_namespaces(7)):
//
//	0       1000          1
//	inside  outside       how many
func alone() bool {
	text, err := os.ReadFile("/proc/self/uid_map")
	fields := strings.Fields(string(text))
	return err == nil && len(fields) == 3 && fields[2] == "1"
}

// Layers are the unpacked layers of the state folder.
func (s *Images) Layers() *unionfs.Layers { return s.layers }

// store is what the store of blobs is to an image that is being made.
type store interface {
	registry.Store
	registry.Ingester
}

// now is the time that images made here carry.
func now() time.Time { return time.Now().UTC() }
