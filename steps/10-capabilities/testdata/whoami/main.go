// SPDX-License-Identifier: Apache-2.0

// Command whoami prints the effective user of its process: the test makes it set-user-ID root.
package main

import (
	"fmt"
	"os"
)

// main prints the number.
func main() { fmt.Print(os.Geteuid()) }
