// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"stave/container"
	"stave/engine"
)

// driverFlag chooses the storage driver.
func driverFlag() cli.Flag {
	var names []string
	for _, d := range engine.Drivers() {
		names = append(names, d.Name())
	}
	return &cli.StringFlag{
		Name: "storage-driver", EnvVars: []string{"STAVE_STORAGE_DRIVER"},
		Usage: "what joins the layers of new containers: `" + strings.Join(names, "|") + "` (the first that works here)",
	}
}

// openEngine opens the images and containers of the state folder.
func openEngine(c *cli.Context) (*engine.Engine, error) {
	state, err := stateDir()
	if err != nil {
		return nil, err
	}
	return engine.Open(state, engine.Options{Repository: repository(c), Run: runDir(state), Driver: c.String("storage-driver")})
}

// runDir is where the runtime keeps containers that run: it does not outlive a reboot, unless STAVE_STATE names a folder for all.
func runDir(state string) string {
	if os.Getenv("STAVE_STATE") != "" || os.Geteuid() != 0 {
		return filepath.Join(state, "run")
	}
	return "/run/stave/containers"
}

// againVariable tells a stave that it has been started again as root of a user namespace.
const againVariable = "STAVE_AGAIN"

// withLayers calls use where layers can be unpacked and joined: here, if the caller is root, and otherwise in a stave that is root
// of a user namespace of the caller's.
func withLayers(_ *cli.Context, use func() error) error {
	if os.Geteuid() == 0 {
		return use()
	}
	if os.Getenv(againVariable) != "" {
		return fmt.Errorf("%s is set, and this is not root: unset it", againVariable)
	}
	state, err := stateDir()
	if err != nil {
		return err
	}
	code, err := container.AgainAsRoot(append(os.Environ(), againVariable+"=1", "STAVE_STATE="+state))
	if code == 0 && err == nil {
		return nil
	}
	return exitError{max(code, 1), err}
}
