// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"stave/engine/containers"
)

// psCommand lists containers of images.
func psCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "ps", Usage: "list the containers of images",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "those that don't run, too", DisableDefaultText: true},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "ids only", DisableDefaultText: true},
			&cli.BoolFlag{Name: "no-trunc", Usage: "whole ids and commands", DisableDefaultText: true},
			&cli.StringFlag{Name: "format", Usage: formatUsage},
		},
	}, 0, 0, listContainers)
}

// listContainers lists those that can be read, and tells of the others.
func listContainers(ctx context.Context, c *cli.Context) error {
	e, err := openEngine(c)
	if err != nil {
		return err
	}
	if err := e.Containers.Sweep(ctx); err != nil {
		return err
	}
	list, broken := e.Containers.List()
	var rows []row
	for _, one := range list {
		if c.Bool("all") || one.Status == containers.Running {
			rows = append(rows, containerRow(one, c.Bool("no-trunc"), time.Now()))
		}
	}
	return errors.Join(containerListing().print(os.Stdout, c.String("format"), c.Bool("quiet"), rows), broken)
}

// containerListing is what ps prints: docker's columns but for the ports, which there are none of without a network. Templates may name
// those and others that docker knows; they are empty.
func containerListing() listing {
	return listing{
		headings: row{
			"ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT", "RunningFor": "CREATED",
			"State": "STATE", "Status": "STATUS", "Names": "NAMES", "Labels": "LABELS", "Platform": "PLATFORM",
			"Ports": "PORTS", "Networks": "NETWORKS", "Mounts": "MOUNTS", "LocalVolumes": "LOCAL VOLUMES",
		},
		table: "{{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Names}}",
		quiet: "{{.ID}}",
	}
}

// containerRow is one line of ps.
func containerRow(one *containers.Container, whole bool, now time.Time) row {
	id, command := one.ID, strings.Join(one.Command, " ")
	if !whole {
		const most = 20
		id = id[:12]
		if characters := []rune(command); len(characters) > most {
			command = string(characters[:most-1]) + "…"
		}
	}
	var labels []string
	for name, value := range one.Config.Labels {
		labels = append(labels, name+"="+value)
	}
	slices.Sort(labels)
	return row{
		"ID": id, "Image": one.Image, "Command": fmt.Sprintf("%q", command), "CreatedAt": one.CreatedAt.Local().Format("2006-01-02 15:04:05 -0700 MST"),
		"RunningFor": units.HumanDuration(now.Sub(one.CreatedAt)) + " ago", "State": string(one.Status), "Status": statusText(one, now),
		"Names": one.Name, "Labels": strings.Join(labels, ","), "Platform": platformName(one.Platform),
		"Ports": "", "Networks": "", "Mounts": "", "LocalVolumes": "0",
	}
}

// statusText says how a container is, in docker's words.
func statusText(one *containers.Container, now time.Time) string {
	switch one.Status {
	case containers.Running:
		return "Up " + units.HumanDuration(now.Sub(one.StartedAt))
	case containers.Exited:
		return fmt.Sprintf("Exited (%d) %s ago", one.ExitCode, units.HumanDuration(now.Sub(one.FinishedAt)))
	}
	return "Created"
}

// rmCommand removes containers.
func rmCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "rm", Usage: "remove containers that have ended, with all they wrote", ArgsUsage: "CONTAINER...",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "end those that run; one that is not there is no error", DisableDefaultText: true},
		},
	}, 1, -1, layered(removeContainers))
}

// removeContainers removes all it can, and tells of the others.
func removeContainers(ctx context.Context, c *cli.Context) error {
	e, err := openEngine(c)
	if err != nil {
		return err
	}
	if err := e.Containers.Sweep(ctx); err != nil {
		return err
	}
	var failed []error
	for _, name := range c.Args().Slice() {
		if err := removeContainer(ctx, e.Containers, name, c.Bool("force")); err != nil {
			failed = append(failed, err)
			continue
		}
		fmt.Println(name)
	}
	return errors.Join(failed...)
}

// removeContainer removes a container. With force it ends one that runs and takes away one whose record can't be read; one that is not there
// is then told and no error, as docker has it.
func removeContainer(ctx context.Context, store *containers.Containers, name string, force bool) error {
	one, err := store.Find(name)
	switch {
	case errors.Is(err, containers.ErrNotFound) && force:
		notice(err.Error())
		return nil
	case err != nil && (!force || one == nil):
		return err
	case force:
		if err := one.Kill(ctx); err != nil {
			return err
		}
	}
	return one.Remove(ctx)
}
