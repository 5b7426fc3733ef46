// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"stave/container"
)

// settingsFlags are the options that describe a container.
func settingsFlags() []cli.Flag {
	return append([]cli.Flag{
		&cli.StringFlag{Name: "rootfs", Usage: "run on this `folder` as root file system, instead of an image"},
		&cli.StringFlag{Name: "bundle", Usage: "take everything from the config.json in this OCI bundle `folder`"},
		&cli.StringFlag{Name: "hostname", Usage: "the container's host `name` (its id otherwise)"},
		&cli.StringSliceFlag{Name: "env", Aliases: []string{"e"}, Usage: "set a variable, `NAME=VALUE`; NAME alone takes the value here", KeepSpace: true},
		&cli.StringFlag{Name: "workdir", Aliases: []string{"w"}, Usage: "the `folder` the command starts in"},
		&cli.StringFlag{Name: "user", Aliases: []string{"u"}, Usage: "`USER[:GROUP]` by the container's names, or by number"},
		&cli.BoolFlag{Name: "read-only", Usage: "make the root file system read-only", DisableDefaultText: true},
		&cli.StringSliceFlag{Name: "volume", Aliases: []string{"v"}, Usage: "bind a folder or file of the host, `SOURCE:TARGET[:ro]`", KeepSpace: true},
		&cli.StringSliceFlag{Name: "cap-add", Usage: "add a `capability`, or ALL", KeepSpace: true},
		&cli.StringSliceFlag{Name: "cap-drop", Usage: "take a `capability` away, or ALL", KeepSpace: true},
		&cli.BoolFlag{Name: "user-ns", Usage: "give the container a user namespace: its root is nobody on the host", DisableDefaultText: true},
		&cli.BoolFlag{Name: "tty", Aliases: []string{"t"}, Usage: "give the command a terminal (the default where input, output and errors are one; --tty=false: none)", DisableDefaultText: true},
	}, slices.Concat(imageFlags(), limitFlags())...)
}

// runCommand runs a container in the foreground.
func runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run a command in a new container",
		ArgsUsage: "IMAGE [COMMAND...] | --rootfs DIR COMMAND... | --bundle DIR",
		Description: "The image lab is built in: a small Linux made of stave's own tools. Others are pulled from their registry.\n" +
			"stave run lab sh     stave run --rm debian bash     stave run --rootfs DIR COMMAND     stave run --bundle DIR\n" +
			"The files of its containers are in /var/lib/stave (without root: $XDG_DATA_HOME/stave), or where STAVE_STATE says.",
		Flags: append(slices.Concat(settingsFlags(), keptFlags()), &cli.BoolFlag{Name: "step", Usage: "stop before each kernel call until Enter is pressed", DisableDefaultText: true}),
		Action: func(c *cli.Context) error {
			return withBundle(c, !c.Bool("rm"), func(b *container.Bundle, o container.Options) error {
				o.Notice = notice
				r := container.RunOptions{Options: o}
				if c.Bool("step") {
					r.Step = newStepper(os.Stdin, os.Stderr).stop
				}
				code, err := container.Run(b, r)
				if err != nil && code == 0 {
					code = codeOwn
				}
				if code == 0 {
					return nil
				}
				return exitError{code, err}
			})
		},
	}
}

// withBundle makes the configuration that the command line describes, calls use with it, and removes
// what was made for it; a container of an image can be kept.
func withBundle(c *cli.Context, keep bool, use func(b *container.Bundle, o container.Options) error) (err error) {
	id, err := newID()
	if err != nil {
		return err
	}
	args := c.Args().Slice()
	if c.String("rootfs")+c.String("bundle") == "" && len(args) > 0 && args[0] != labImage {
		return withLayers(c, func() error { return withImage(c, args, keep, use) })
	}
	if err := withoutImage(c); err != nil {
		return err
	}
	if dir := c.String("bundle"); dir != "" {
		if len(args) > 0 {
			return fmt.Errorf("--bundle takes the command from config.json; leave out %q", args)
		}
		for _, f := range settingsFlags() {
			if name := f.Names()[0]; name != "bundle" && c.IsSet(name) {
				return fmt.Errorf("--bundle takes everything from config.json; leave out --%s", name)
			}
		}
		b, err := container.Load(dir)
		if err != nil {
			return err
		}
		return use(b, container.Options{ID: id})
	}
	s, err := settings(c, id, args)
	if err != nil {
		return err
	}
	if s.Rootfs == "" {
		if len(args) == 0 {
			return fmt.Errorf("which image? The one that is built in is called %s: stave run %s sh", labImage, labImage)
		}
		lab, err := makeLab(c, id, mapsRoot(c))
		if err != nil {
			return err
		}
		defer func() {
			if e := lab.remove(); err == nil && e != nil {
				err = e
			}
		}()
		s.Rootfs, s.Args = lab.rootfs, args[1:]
		if len(s.Args) == 0 {
			s.Args = []string{"sh"}
		}
	}
	b, err := s.Bundle()
	if err != nil {
		return err
	}
	return use(b, container.Options{ID: id})
}

// withoutImage refuses options that only an image gives a meaning to.
func withoutImage(c *cli.Context) error {
	for _, f := range slices.Concat(imageFlags(), keptFlags()) {
		if name := f.Names()[0]; name != "rm" && c.IsSet(name) {
			return fmt.Errorf("--%s is for containers of an image that is pulled or loaded; leave it out", name)
		}
	}
	return nil
}

// settings reads the options.
func settings(c *cli.Context, id string, args []string) (container.Settings, error) {
	env, err := environment(c.StringSlice("env"))
	if err != nil {
		return container.Settings{}, err
	}
	limits, err := limits(c)
	return container.Settings{
		ID: id, Rootfs: c.String("rootfs"), Args: args, Env: env, User: c.String("user"),
		WorkingDir: c.String("workdir"), Hostname: c.String("hostname"), Volumes: c.StringSlice("volume"),
		ReadOnly: c.Bool("read-only"), CapAdd: c.StringSlice("cap-add"), CapDrop: c.StringSlice("cap-drop"),
		UserNamespace: c.Bool("user-ns"), Limits: limits,
		Terminal: c.Bool("tty") || !c.IsSet("tty") && term.IsTerminal(0) && term.IsTerminal(1) && term.IsTerminal(2),
	}, err
}

// notice tells the person what the exit code alone does not.
func notice(text string) { fmt.Fprintln(os.Stderr, "stave:", text) }

// environment gives variables that are named without a value the one they have here; one that is not
// set here is left out.
func environment(pairs []string) ([]string, error) {
	var env []string
	for _, pair := range pairs {
		if pair == "" || pair[0] == '=' {
			return nil, fmt.Errorf("variable %q has no name", pair)
		}
		if !strings.Contains(pair, "=") {
			value, ok := os.LookupEnv(pair)
			if !ok {
				continue
			}
			pair += "=" + value
		}
		env = append(env, pair)
	}
	return env, nil
}

// newID returns a container id as docker shows it: 12 hexadecimal digits.
func newID() (string, error) {
	b := make([]byte, 6)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}

// mapsRoot tells whether the container's root is another user of the host.
func mapsRoot(c *cli.Context) bool { return c.Bool("user-ns") && os.Geteuid() == 0 }
