// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v2"

	"stave/engine/images"
	"stave/registry"
)

// codeFailed is the exit code of commands that were understood but could not be done.
const codeFailed = 1

// imageCommands are the commands for images that docker has at the top, and the word image, which has all of them.
func imageCommands() []*cli.Command {
	return []*cli.Command{
		imagesCommand("images"), pullCommand(), pushCommand(), tagCommand(), removeImagesCommand("rmi"), historyCommand(),
		saveCommand(), loadCommand(), importCommand(), imageCommand(),
		exportCommand(), commitCommand(), loginCommand(), logoutCommand(), searchCommand(), manifestCommand(),
	}
}

// imageCommand is the word image.
func imageCommand() *cli.Command {
	list, remove := imagesCommand("ls"), removeImagesCommand("rm")
	list.Aliases, remove.Aliases = []string{"list"}, []string{"remove"}
	return group("image", "list, fetch, name and remove images",
		list, pullCommand(), pushCommand(), tagCommand(), inspectImagesCommand(), historyCommand(),
		remove, pruneImagesCommand(), saveCommand(), loadCommand(), importCommand())
}

// group is a word with commands below it.
func group(name, usage string, commands ...*cli.Command) *cli.Command {
	return &cli.Command{
		Name: name, Usage: usage, Subcommands: commands, HideHelpCommand: true, OnUsageError: usageError,
		Action: func(c *cli.Context) error {
			if word := c.Args().First(); word != "" && word != "help" {
				return exitError{codeOwn, fmt.Errorf("unknown command %q; stave %s --help lists them", word, name)}
			}
			return cli.ShowSubcommandHelp(c)
		},
	}
}

// verb completes a command as docker's commands for images are: options may stand anywhere, the number of arguments is checked (most
// below 0 is any number), an interrupt ends it, and where it fails the exit code is 1.
func verb(c *cli.Command, least, most int, do func(ctx context.Context, c *cli.Context) error) *cli.Command {
	c.UseShortOptionHandling, c.HideHelpCommand = true, true
	c.OnUsageError = usageError
	c.Action = func(c *cli.Context) error {
		if n := c.NArg(); n < least || most >= 0 && n > most {
			return wrongArguments(c)
		}
		ctx, stop := interruptible(c.Context)
		defer stop()
		err := do(ctx, c)
		var exit exitError
		if err == nil || errors.As(err, &exit) {
			return err
		}
		return exitError{codeFailed, err}
	}
	return c
}

// wrongArguments says what a command takes.
func wrongArguments(c *cli.Context) error {
	takes := "no arguments"
	if c.Command.ArgsUsage != "" {
		takes = c.Command.ArgsUsage
	}
	got := "nothing"
	if c.NArg() > 0 {
		got = strings.Join(c.Args().Slice(), " ")
	}
	return exitError{codeOwn, fmt.Errorf("%s takes %s, not %s; %s --help shows more", c.Command.HelpName, takes, got, c.Command.HelpName)}
}

// layered lets a command that unpacks or removes layers run where that is possible: see [withLayers].
func layered(do func(ctx context.Context, c *cli.Context) error) func(context.Context, *cli.Context) error {
	return func(ctx context.Context, c *cli.Context) error {
		return withLayers(c, func() error { return do(ctx, c) })
	}
}

// openImages opens the images of the state folder.
func openImages(c *cli.Context) (*images.Images, error) {
	e, err := openEngine(c)
	if err != nil {
		return nil, err
	}
	return e.Images, nil
}

// platformFlag is the option --platform.
func platformFlag(usage string) cli.Flag { return &cli.StringFlag{Name: "platform", Usage: usage} }

// platform reads the option --platform; without it the result is nil.
func platform(c *cli.Context) (*ocispec.Platform, error) {
	if !c.IsSet("platform") {
		return nil, nil
	}
	p, err := parsePlatform(c.String("platform"))
	return &p, err
}

// parsePlatform reads a platform of the command line.
func parsePlatform(text string) (ocispec.Platform, error) {
	p, err := registry.ParsePlatform(text)
	if err != nil {
		return p, exitError{codeOwn, fmt.Errorf("--platform: %w", err)}
	}
	return p, nil
}

// on is a switch that is off unless it is set.
func on(name, short, usage string) cli.Flag {
	f := &cli.BoolFlag{Name: name, Usage: usage, DisableDefaultText: true}
	if short != "" {
		f.Aliases = []string{short}
	}
	return f
}
