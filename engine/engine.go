// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"

	"stave/cgroups"
	"stave/engine/containers"
	"stave/engine/images"
	"stave/registry"
	"stave/unionfs"
	"stave/unionfs/btrfs"
	"stave/unionfs/fuse"
	"stave/unionfs/vfs"
)

// Options say how an engine works.
type Options struct {
	// Repository opens a repository of a registry.
	Repository func(named reference.Named) (registry.Store, error)
	// Run is the folder below which the runtime keeps containers that run; it should not outlive a reboot.
	Run string
	// Driver is the name of the driver for new containers; without one it is the first of [Drivers] that works in the state folder.
	Driver string
	// Layers are the options for unpacked layers.
	Layers unionfs.LayersOptions
}

// Engine is the images and containers of one state folder.
type Engine struct {
	Images     *images.Images
	Containers *containers.Containers

	state, driver string
}

// Open returns the engine of a state folder, which it makes if it is not there.
func Open(state string, o Options) (*Engine, error) {
	e := &Engine{state: state, driver: o.Driver}
	var err error
	e.Images, err = images.Open(state, images.Options{Repository: o.Repository, Users: e.users, Layers: o.Layers})
	if err != nil {
		return nil, err
	}
	var drivers []unionfs.Driver
	for _, d := range Drivers() {
		drivers = append(drivers, d)
	}
	e.Containers, err = containers.Open(state, o.Run, e.Images.Layers(), drivers)
	return e, err
}

// users lists the containers as images see them.
func (e *Engine) users(context.Context) ([]images.User, error) {
	list, broken := e.Containers.List()
	var users []images.User
	for _, c := range list {
		users = append(users, images.User{ID: c.ID, Image: c.ImageID, Running: c.Status == containers.Running})
	}
	return users, broken
}

// Driver is a driver that can tell whether it works in a folder.
type Driver interface {
	unionfs.Driver
	// Supported tries, and says why not.
	Supported(dir string) error
}

// Drivers are the drivers that there are, in the order in which they are tried. Copies always work: what comes behind them is only
// taken where it is asked for.
func Drivers() []Driver {
	// Root of a user namespace only may not set the marks of a real root.
	ordinary := !cgroups.Root()
	return []Driver{unionfs.Overlay{UserXattr: ordinary}, btrfs.Driver{UserXattr: ordinary}, vfs.Driver{UserXattr: ordinary}, fuse.Driver{UserXattr: ordinary}}
}

// findDriver returns a driver by its name.
func findDriver(name string) (Driver, error) {
	var names []string
	for _, d := range Drivers() {
		if d.Name() == name {
			return d, nil
		}
		names = append(names, d.Name())
	}
	return nil, fmt.Errorf("there is no storage driver %q: there are %s", name, strings.Join(names, ", "))
}

// Driver returns the name of the driver for new containers: the one that was asked for, or the first that works here. A driver that
// was asked for and does not work is an error. What was chosen is noted in the state folder, in the file driver, as trying takes longer
// than starting a container.
func (e *Engine) Driver() (string, error) {
	if e.driver != "" {
		d, err := findDriver(e.driver)
		if err != nil {
			return "", err
		}
		if err := d.Supported(e.state); err != nil {
			return "", fmt.Errorf("the storage driver %s does not work in %s: %w", e.driver, e.state, err)
		}
		return e.driver, nil
	}
	file := filepath.Join(e.state, "driver")
	if noted, err := os.ReadFile(file); err == nil {
		if d, err := findDriver(strings.TrimSpace(string(noted))); err == nil {
			return d.Name(), nil
		}
	}
	name, err := e.firstDriver()
	if err != nil {
		return "", err
	}
	_ = os.WriteFile(file, []byte(name+"\n"), 0o644) // on a full disk, which the container's own files tell of, it is tried again
	return name, nil
}

// firstDriver tries the drivers in order.
func (e *Engine) firstDriver() (string, error) {
	var reasons []string
	for _, d := range Drivers() {
		err := d.Supported(e.state)
		if err == nil {
			return d.Name(), nil
		}
		reasons = append(reasons, fmt.Sprintf("%s: %v", d.Name(), err))
	}
	return "", fmt.Errorf("no storage driver works in %s: %s", e.state, strings.Join(reasons, "; "))
}

// Chain lists the chain IDs of an image's layers that are unpacked, having unpacked those that were not. They stay until release, by
// when a container refers to them.
func (e *Engine) Chain(ctx context.Context, image *images.Image) (chain []digest.Digest, release func(), err error) {
	_, release, err = e.Images.Keep(ctx, image)
	return image.Chain(), release, err
}
