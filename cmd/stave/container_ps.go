// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"stave/engine/containers"
)

// psCommand lists containers of images.
func psCommand() *cli.Command {
	return &cli.Command{
		Name: "ps", Usage: "list the containers of images", UseShortOptionHandling: true,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "those that don't run, too", DisableDefaultText: true},
			&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "ids only", DisableDefaultText: true},
			&cli.BoolFlag{Name: "no-trunc", Usage: "whole ids and commands", DisableDefaultText: true},
			&cli.StringFlag{Name: "format", Usage: formatUsage},
		},
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("stave ps takes no arguments; leave out %q", c.Args().Slice())
			}
			e, err := openEngine(c)
			if err != nil {
				return err
			}
			if err := e.Containers.Sweep(c.Context); err != nil {
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
		},
	}
}

// containerListing is what ps prints, with docker's columns but for the ports, which there are none of without a network.
func containerListing() listing {
	return listing{
		headings: row{
			"ID": "CONTAINER ID", "Image": "IMAGE", "Command": "COMMAND", "CreatedAt": "CREATED AT", "RunningFor": "CREATED",
			"State": "STATE", "Status": "STATUS", "Names": "NAMES", "Labels": "LABELS", "Platform": "PLATFORM",
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
	return row{
		"ID": id, "Image": one.Image, "Command": fmt.Sprintf("%q", command), "CreatedAt": one.CreatedAt.Local().Format("2006-01-02 15:04:05 -0700 MST"),
		"RunningFor": units.HumanDuration(now.Sub(one.CreatedAt)) + " ago", "State": string(one.Status), "Status": statusText(one, now),
		"Names": one.Name, "Labels": strings.Join(labels, ","), "Platform": platformName(one.Platform),
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
	return &cli.Command{
		Name: "rm", Usage: "remove containers that have ended, with all they wrote", ArgsUsage: "CONTAINER...", UseShortOptionHandling: true,
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "end those that run; one that is not there is no error", DisableDefaultText: true},
		},
		Action: func(c *cli.Context) error {
			if !c.Args().Present() {
				return errors.New("which containers? stave ps -a lists them")
			}
			return withLayers(c, func() error { return removeContainers(c) })
		},
	}
}

// removeContainers removes all it can, and tells of the others.
func removeContainers(c *cli.Context) error {
	e, err := openEngine(c)
	if err != nil {
		return err
	}
	if err := e.Containers.Sweep(c.Context); err != nil {
		return err
	}
	var failed []error
	for _, name := range c.Args().Slice() {
		one, err := e.Containers.Find(name)
		if errors.Is(err, containers.ErrNotFound) && c.Bool("force") {
			continue
		}
		if err == nil && c.Bool("force") {
			err = one.Kill(c.Context)
		}
		if err == nil {
			err = one.Remove(c.Context)
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		fmt.Println(name)
	}
	if len(failed) > 0 {
		return exitError{1, errors.Join(failed...)}
	}
	return nil
}
