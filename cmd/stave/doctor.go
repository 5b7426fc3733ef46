// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"stave/container"
)

// doctorCommand tells what this machine's kernel offers.
func doctorCommand() *cli.Command {
	return &cli.Command{
		Name:  "doctor",
		Usage: "tell what this machine offers, what is missing, and what that touches",
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return fmt.Errorf("doctor takes no arguments, %q is given", c.Args().Slice())
			}
			return doctor()
		},
	}
}

// doctor prints the findings as a table: what was looked for, what was found, and what does not work
// where it is missing.
func doctor() error {
	w := tabwriter.NewWriter(os.Stdout, 0, 8, 2, ' ', 0)
	missing := 0
	fmt.Fprintln(w, "\tWHAT\tFOUND\tTOUCHES")
	for _, f := range container.Examine() {
		mark := "ok"
		if !f.OK {
			mark = "missing"
			missing++
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", mark, f.What, f.Found, f.Touches)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if missing == 0 {
		fmt.Println("Nothing is missing.")
	} else {
		fmt.Printf("%d missing; what they touch is in the last column, everything else works.\n", missing)
	}
	return nil
}
