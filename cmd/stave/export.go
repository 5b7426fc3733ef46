// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"stave/engine/images"
)

// exportCommand writes a container's files.
func exportCommand() *cli.Command {
	return verb(&cli.Command{
		Name: "export", Usage: "write a container's root file system as a tar archive", ArgsUsage: "CONTAINER",
		Flags: []cli.Flag{&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write to this `file` instead of standard output"}},
	}, 1, 1, layered(exportContainer))
}

// exportContainer writes the archive.
func exportContainer(ctx context.Context, c *cli.Context) error {
	e, err := openEngine(c)
	if err != nil {
		return err
	}
	one, err := e.Containers.Find(c.Args().First())
	if err != nil {
		return err
	}
	view, release, err := one.View(ctx)
	if err != nil {
		return err
	}
	defer release()
	return writeOutput(c.String("output"), func(w io.Writer) error { return images.Export(ctx, w, view) })
}

// writeOutput lets write write an archive to the file of an option --output, or to standard output, unless that is a terminal. A file
// appears when it is whole: what was there before stays until then.
func writeOutput(name string, write func(io.Writer) error) error {
	if name == "" {
		if isTerminal(os.Stdout) {
			return errors.New("an archive is not written to a terminal: name a file with -o, or redirect the output")
		}
		return buffered(os.Stdout, write)
	}
	if stat, err := os.Stat(name); err == nil && !stat.Mode().IsRegular() { // /dev/stdout, a pipe
		f, err := os.OpenFile(name, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return errors.Join(buffered(f, write), f.Close())
	}
	return writeWhole(name, write)
}

// writeWhole writes a file beside its place, under a name that nobody has taken or can foretell, and renames it.
func writeWhole(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return fmt.Errorf("-o %s: %w", name, err)
	}
	if err = errors.Join(buffered(f, write), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// buffered lets write write in large pieces.
func buffered(w io.Writer, write func(io.Writer) error) error {
	buffer := bufio.NewWriterSize(w, 1<<20)
	if err := write(buffer); err != nil {
		return err
	}
	return buffer.Flush()
}
