// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v2"

	"stave/container"
	"stave/engine"
	"stave/engine/containers"
	"stave/engine/images"
)

// imageFlags are the options of run and explain that speak of an image.
func imageFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "entrypoint", Usage: "run this `program` in place of the image's; an empty one runs the command alone"},
		&cli.StringSliceFlag{Name: "label", Aliases: []string{"l"}, Usage: "give the container a `NAME=VALUE`", KeepSpace: true},
		&cli.StringFlag{Name: "platform", Usage: "the image of this `OS/ARCH[/VARIANT]`"},
		&cli.StringFlag{Name: "pull", Usage: "when to ask the registry for the image: `missing|always|never`", Value: "missing"},
	}
}

// keptFlags are the options of run that speak of the container afterwards.
func keptFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "name", Usage: "the container's own `name`"},
		&cli.BoolFlag{Name: "rm", Usage: "remove the container, and what it wrote, when it ends (those without an image always go)", DisableDefaultText: true},
		&cli.StringFlag{Name: "cidfile", Usage: "write the container's id to this `file`, which must not be there yet"},
	}
}

// withImage makes a container of an image, calls use with its configuration, and notes how it ended. Where the container is not to
// be kept it is removed.
func withImage(c *cli.Context, args []string, keep bool, use func(b *container.Bundle, o container.Options) error) (err error) {
	if c.Bool("user-ns") && os.Getenv(againVariable) == "" {
		return errors.New("--user-ns: the files of an image belong to the host's users in a container of root; run it as an ordinary user, who gets a user namespace with files of his own")
	}
	e, err := openEngine(c)
	if err != nil {
		return err
	}
	image, err := wantedImage(c, e, args[0])
	if err != nil {
		return err
	}
	record, free, err := newRecord(c, e, image, args)
	if err != nil {
		return err
	}
	record.AutoRemove = !keep
	made, err := e.Containers.Create(c.Context, record)
	free() // from now on the container keeps the layers
	if err != nil {
		return err
	}
	defer made.Close()
	ran := false
	defer func() {
		if !ran { // nothing of it was seen by anybody
			made.AutoRemove = true
		}
		finish(made, err)
	}()
	if err := writeID(c.String("cidfile"), made.ID); err != nil {
		return err
	}
	defer func() {
		if file := c.String("cidfile"); file != "" && !ran {
			os.Remove(file)
		}
	}()
	view, release, err := made.ImageView(c.Context)
	if err != nil {
		return err
	}
	defer release()
	b, err := imageBundle(c, made, view)
	if err != nil {
		return err
	}
	if err := made.Started(); err != nil {
		return err
	}
	ran = true
	return use(b, container.Options{ID: made.ID, Root: made.RunRoot()})
}

// finish notes how a container ended; err is what use or the preparation returned. What goes wrong here is told, and changes nothing about
// the exit code of the container's command.
func finish(made *containers.Container, err error) {
	code, why := codeOf(err)
	if e := made.Exited(context.Background(), code, why); e != nil {
		notice(fmt.Sprintf("container %s: %v", made.Name, e))
	}
}

// codeOf splits an error of run into the exit code and what else there is to say.
func codeOf(err error) (code int, why error) {
	var exit exitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return exit.code, exit.err
	}
	return codeOwn, err
}

// wantedImage finds the image, and asks the registry for it where --pull wants that.
func wantedImage(c *cli.Context, e *engine.Engine, word string) (*images.Image, error) {
	policy := c.String("pull")
	if !slices.Contains([]string{"missing", "always", "never"}, policy) {
		return nil, fmt.Errorf("--pull %q: missing, always or never", policy)
	}
	if policy != "always" {
		image, err := e.Images.Find(c.Context, word)
		if err == nil {
			err = rightPlatform(c, image, word)
		}
		if err == nil || policy == "never" || !errors.Is(err, images.ErrNotFound) {
			return image, err
		}
		notice(fmt.Sprintf("image %s is not here: pulling it", word))
	}
	if err := pullFor(c, e, word); err != nil {
		return nil, err
	}
	return e.Images.Find(c.Context, word)
}

// rightPlatform refuses an image that is here, but not of the platform that is asked for.
func rightPlatform(c *cli.Context, image *images.Image, word string) error {
	asked := c.String("platform")
	if asked == "" {
		return nil
	}
	want, err := parsePlatform(asked)
	if err != nil {
		return err
	}
	have := image.Platform()
	if have.OS != want.OS || have.Architecture != want.Architecture || want.Variant != "" && have.Variant != want.Variant {
		return fmt.Errorf("%w: %s is here for %s, not for %s", images.ErrNotFound, word, platformName(have), asked)
	}
	return nil
}

// platformName writes a platform as people do: linux/arm/v7.
func platformName(p ocispec.Platform) string {
	return strings.TrimSuffix(p.OS+"/"+p.Architecture+"/"+p.Variant, "/")
}

// newRecord describes a container of an image, whose layers stay until free.
func newRecord(c *cli.Context, e *engine.Engine, image *images.Image, args []string) (r containers.Record, free func(), err error) {
	if image.Config.OS != "" && image.Config.OS != "linux" {
		return r, nil, fmt.Errorf("image %s is for %s: only those for linux run here", args[0], platformName(image.Platform()))
	}
	config := image.Config.Config.ImageConfig
	command, err := commandOf(c, config, args)
	if err != nil {
		return r, nil, err
	}
	if config.Labels, err = labels(config.Labels, c.StringSlice("label")); err != nil {
		return r, nil, err
	}
	driver, err := e.Driver()
	if err != nil {
		return r, nil, err
	}
	chain, free, err := e.Chain(c.Context, image)
	return containers.Record{
		Name: c.String("name"), Image: args[0], ImageID: image.ID, Driver: driver, Layers: chain, Config: config,
		Platform: image.Platform(), Command: command, ReadOnly: false,
	}, free, err
}

// commandOf is the image's entrypoint and command with what the command line changes: arguments replace the image's command, and
// --entrypoint both.
func commandOf(c *cli.Context, config ocispec.ImageConfig, args []string) ([]string, error) {
	entrypoint, command := config.Entrypoint, config.Cmd
	if c.IsSet("entrypoint") {
		entrypoint, command = nil, nil
		if program := c.String("entrypoint"); program != "" {
			entrypoint = []string{program}
		}
	}
	if len(args) > 1 {
		command = args[1:]
	}
	all := slices.Concat(entrypoint, command)
	if len(all) == 0 {
		return nil, fmt.Errorf("image %s has no command: say which: stave run %s COMMAND", args[0], args[0])
	}
	return all, nil
}

// labels are those of the image with those of the command line, which win.
func labels(base map[string]string, pairs []string) (map[string]string, error) {
	all := maps.Clone(base)
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		if name == "" {
			return nil, fmt.Errorf("--label %q has no name", pair)
		}
		if all == nil {
			all = map[string]string{}
		}
		all[name] = value
	}
	return all, nil
}

// imageBundle is the configuration of a container that was made; view is where its files can be looked at.
func imageBundle(c *cli.Context, made *containers.Container, view string) (*container.Bundle, error) {
	s, err := settings(c, made.ID, made.Command)
	if err != nil {
		return nil, err
	}
	root := made.Root()
	config := made.Config
	s.Rootfs, s.Mounts, s.View = root.Path, root.Calls, view
	s.UserNamespace = false // an ordinary user has one by now
	s.Hostname = cmp.Or(s.Hostname, made.ID[:12])
	s.User = cmp.Or(s.User, config.User)
	s.Env = slices.Concat(config.Env, s.Env)
	s.WorkingDir = cmp.Or(s.WorkingDir, config.WorkingDir)
	if s.WorkingDir != "" && !path.IsAbs(s.WorkingDir) {
		s.WorkingDir = "/" + s.WorkingDir
	}
	return s.Bundle()
}

// writeID keeps a container's id for scripts.
func writeID(name, id string) error {
	if name == "" {
		return nil
	}
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("--cidfile %s: it is there already: another container's id, perhaps; remove it or choose another", name)
	}
	if err != nil {
		return fmt.Errorf("--cidfile: %w", err)
	}
	_, err = f.WriteString(id)
	return errors.Join(err, f.Close())
}
