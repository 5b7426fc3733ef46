// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"stave/container"
)

// explainCommand prints the program of a container instead of running it.
func explainCommand() *cli.Command {
	return &cli.Command{
		Name:        "explain",
		Usage:       "print the kernel calls that make a container",
		ArgsUsage:   "IMAGE [COMMAND...] | --rootfs DIR COMMAND... | --bundle DIR",
		Description: "Takes the options of run. The script of --shell makes the same container with util-linux and iproute2.",
		Flags: append(settingsFlags(),
			&cli.BoolFlag{Name: "shell", Usage: "as a script of util-linux commands that makes the same container", DisableDefaultText: true},
			&cli.BoolFlag{Name: "json", Usage: "as JSON, for programs", DisableDefaultText: true},
			&cli.StringFlag{Name: "cgroup", Usage: "as on a machine with cgroup version `v1|v2`, whatever this one has"},
		),
		Action: func(c *cli.Context) error {
			if c.Bool("shell") && c.Bool("json") {
				return fmt.Errorf("--shell and --json are two forms; choose one")
			}
			if kind := c.String("cgroup"); c.IsSet("cgroup") && kind != "v1" && kind != "v2" {
				return fmt.Errorf("--cgroup %q: v1 or v2", kind)
			}
			return withBundle(c, false, func(b *container.Bundle, o container.Options) error {
				ofImage := o.Root != ""
				o.Root, o.Cgroups = "", c.String("cgroup")
				switch {
				case c.Bool("shell") && ofImage:
					return explainImage(os.Stdout, b, o, c.Args().First())
				case c.Bool("shell") && c.String("rootfs")+c.String("bundle") == "":
					return explainLab(os.Stdout, b, o, mapsRoot(c))
				}
				return explain(os.Stdout, b, o, c.Bool("shell"), c.Bool("json"))
			})
		},
	}
}

// explainLab prints the script for the built-in image. The root file system that the plan was made
// with is removed when stave ends, so the script makes one of its own, and removes it. foreign gives
// its files to the container's root where that is another user of the host.
func explainLab(w io.Writer, b *container.Bundle, o container.Options, foreign bool) error {
	script, err := container.ExplainShell(b, o)
	if err != nil {
		return err
	}
	program, err := labProgram()
	if err != nil {
		return err
	}
	root := b.Spec.Root.Path
	plant := "export root=$(mktemp -d)\ntrap 'rm -r \"$root\"' EXIT\nchmod 755 \"$root\"\n" + container.Quote(program) + " --plant \"$root\"\n"
	if foreign {
		uid, gid := container.MappedRoot()
		plant += fmt.Sprintf("chown -hR %d:%d \"$root\"\n", uid, gid)
	}
	_, err = strings.NewReplacer(
		"export root="+root+"\n", plant, "undo=:;", `undo='rm -r "$root"';`,
		b.Dir, "the image "+labImage, root, "the root",
	).WriteString(w, script)
	return err
}

// explainImage prints the script for a container of an image. The folder that the plan was made with is removed when stave ends,
// so the script makes one of its own, with what the image's layers are joined in, and removes it.
func explainImage(w io.Writer, b *container.Bundle, o container.Options, image string) error {
	script, err := container.ExplainShell(b, o)
	if err != nil {
		return err
	}
	if len(b.Mounts) == 0 {
		return errors.New("--shell: this storage driver makes the root file system itself, by copies or a program of its own: no command in a script does that; choose --storage-driver overlay")
	}
	folder := filepath.Dir(b.Spec.Root.Path)
	var plant strings.Builder
	plant.WriteString("export dir=$(mktemp -d)\ntrap 'rm -r \"$dir\"' EXIT\nchmod 755 \"$dir\"\n" +
		"mkdir \"$dir\"/diff \"$dir\"/work \"$dir\"/empty \"$dir\"/empty/0 \"$dir\"/empty/1 \"$dir\"/layers \"$dir\"/merged\nexport root=$dir/merged\n")
	links, err := filepath.Glob(filepath.Join(folder, "layers", "*"))
	if err != nil {
		return err
	}
	for _, link := range links { // by which a mount with many layers, or long names, finds them
		layer, err := os.Readlink(link)
		if err != nil {
			return err
		}
		plant.WriteString("ln -s " + container.Quote(layer) + " \"$dir\"/layers/" + filepath.Base(link) + "\n")
	}
	inside := `"$dir"`
	if container.Quote(folder) != folder {
		inside = `'"$dir"'` // the script has the path between single quotes
	}
	_, err = strings.NewReplacer(
		"export root="+container.Quote(b.Spec.Root.Path)+"\n", plant.String(), "undo=:;", `undo='rm -r "$dir"';`,
		"The container of "+b.Dir, "The container of the image "+image, folder, inside,
	).WriteString(w, script)
	return err
}

// explain prints the program in the wanted form.
func explain(w io.Writer, b *container.Bundle, o container.Options, shell, asJSON bool) error {
	if shell {
		text, err := container.ExplainShell(b, o)
		if err != nil {
			return err
		}
		_, err = io.WriteString(w, text)
		return err
	}
	lines, err := container.Explain(b, o)
	if err != nil {
		return err
	}
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(lines)
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(w, "%-9s %3d  %s\n               %s\n", l.Side, l.Index, l.Call, l.Why); err != nil {
			return err
		}
	}
	return nil
}
