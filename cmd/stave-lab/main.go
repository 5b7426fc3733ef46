// SPDX-License-Identifier: Apache-2.0

// Command stave-lab is the program of stave's built-in image "lab": a shell and the tools of a small Linux in one file,
// which takes the tool's name from the name it is called by. See package toolbox.
package main

import (
	"os"

	"stave/toolbox"
)

// main runs the tool and exits with its code.
func main() { os.Exit(toolbox.Main(os.Args)) }
