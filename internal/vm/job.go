// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"slices"
	"strings"
)

// job is what the launcher tells the guest, in /job.json of the initramfs.
type job struct {
	Command  []string
	Env      []string
	Folder   string   // working directory
	Modules  []string // files in /modules, in the order to load them
	Share    string   // folder of the host mounted writable at its own path
	Systemd  bool     // boot the disk
	User     string   // whose user manager runs the command
	Show     []string // folders of the host mounted read-only at their own paths
	Coverage string   // file of the guest that is to come back
}

// The names of the virtio-serial ports, as the guest finds them in /sys/class/virtio-ports.
const (
	outputPort   = "stave.output"   // what the command prints
	statusPort   = "stave.status"   // lines for the launcher, see status.go
	coveragePort = "stave.coverage" // the file named by -test.coverprofile
)

// The options of a test binary that name the file of its coverage, and a folder for what it needs to write that.
const (
	coverageFlag       = "-test.coverprofile="
	coverageFolderFlag = "-test.gocoverdir="
)

// Where the command writes its coverage in the guest.
const (
	guestCoverage       = guestCoverageFolder + "/profile"
	guestCoverageFolder = scratchFolder + "/coverage"
)

// guestTemp is the folder for temporary files in the guest, on the scratch disk.
const guestTemp = scratchFolder + "/tmp"

// redirectCoverage makes the command of a test write its coverage where the guest can send it from. It returns the
// command to run in the guest, and the file that the command line named, or nothing.
func redirectCoverage(command []string) (guest []string, host string) {
	guest = slices.Clone(command)
	for i, arg := range guest {
		if name, ok := strings.CutPrefix(arg, coverageFlag); ok && name != "" {
			guest[i], host = coverageFlag+guestCoverage, name
		}
		if strings.HasPrefix(arg, coverageFolderFlag) {
			guest[i] = coverageFolderFlag + guestCoverageFolder
		}
	}
	return guest, host
}

// guestEnvironment is the host's without what is true only there, and with the guest's folders for temporary files and for
// the coverage of test binaries that tests start.
func guestEnvironment(host []string) []string {
	env := slices.DeleteFunc(slices.Clone(host), func(variable string) bool {
		name, _, _ := strings.Cut(variable, "=")
		return name == "TMPDIR" || name == "GOCOVERDIR" || name == "XDG_RUNTIME_DIR" || name == "DBUS_SESSION_BUS_ADDRESS" || name == "NOTIFY_SOCKET"
	})
	return append(env, "TMPDIR="+guestTemp, "GOCOVERDIR="+guestCoverageFolder)
}

// shown are the folders that a command needs to see under systemd: its own, the working directory, and those asked
// for; none twice, and none that another one contains.
func shown(command, folder string, more []string) []string {
	wanted := append([]string{folder}, more...)
	if filepath.IsAbs(command) {
		wanted = append(wanted, filepath.Dir(command))
	}
	slices.Sort(wanted)
	var kept []string
	for _, name := range wanted {
		inside := func(outer string) bool { return name == outer || strings.HasPrefix(name, outer+"/") }
		if name != "/" && !slices.ContainsFunc(kept, inside) {
			kept = append(kept, name)
		}
	}
	return kept
}
