// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// unitName is the service's name.
const unitName = "stave-vm.service"

// becomeSystemd prepares the disk's system and starts its systemd in place of this process.
func becomeSystemd(j job) error {
	if err := mountAll(diskMounts()); err != nil {
		return err
	}
	if j.Share != "" {
		if err := mountAll([]mountPoint{shareMount(newRoot, j.Share)}); err != nil {
			return err
		}
	}
	for _, name := range j.Show {
		if err := show(name); err != nil {
			return err
		}
	}
	if err := install(); err != nil {
		return err
	}
	for _, name := range []string{"/proc", "/dev", "/sys"} {
		if err := unix.Mount(name, newRoot+name, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", name, err)
		}
	}
	if err := switchRoot(); err != nil {
		return err
	}
	return fmt.Errorf("start /sbin/init: %w", unix.Exec("/sbin/init", []string{"/sbin/init"}, []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}))
}

// show mounts a folder of the host at its own path.
func show(name string) error {
	target := newRoot + name
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(newRoot+ownFolder+"/host"+name, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("show %s: %w", name, err)
	}
	return nil
}

// install puts this program, its job and its unit below /run, where systemd finds the unit and starts it at boot
// (systemd.unit(5), "Unit File Load Path").
func install() error {
	wants := newRoot + "/run/systemd/system/multi-user.target.wants"
	if err := os.MkdirAll(wants, 0o755); err != nil {
		return err
	}
	for _, name := range []string{"init", "job.json"} {
		text, err := os.ReadFile("/" + name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(newRoot, ownFolder, name), text, 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(wants), unitName), []byte(unit), 0o644); err != nil {
		return err
	}
	return os.Symlink("../"+unitName, filepath.Join(wants, unitName))
}

// agent is the service: it runs the command, reports, and ends the machine.
func agent() {
	j, err := readJob(ownFolder + "/job.json")
	if err != nil {
		giveUp(err)
	}
	finish(j, func(output *os.File) (int, error) { return serve(j, output) })
}

// serve runs the command in a unit of its own (systemd-run(1)), of the system's manager or of a user's, and waits for it.
func serve(j job, output *os.File) (int, error) {
	cmd := exec.Command("systemd-run", runArguments(j)...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = []string{imagePath}, "/", output, output
	if j.User != "" {
		if err := become(cmd, j.User); err != nil {
			return 0, err
		}
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return 0, err
	}
	return exitCode(unix.WaitStatus(cmd.ProcessState.Sys().(syscall.WaitStatus))), nil
}

// imagePath is where the image's programs are.
const imagePath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// become makes a command one of a user and of the user's manager, which it starts and waits for (user@.service(5)).
func become(cmd *exec.Cmd, name string) error {
	who, err := user.Lookup(name)
	if err != nil {
		return err
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return err
	}
	if said, err := exec.Command("systemctl", "start", "user@"+who.Uid+".service").CombinedOutput(); err != nil {
		return fmt.Errorf("start the user manager of %s: %w: %s", name, err, said)
	}
	runtime := "/run/user/" + who.Uid
	cmd.Env = append(cmd.Env, "HOME="+who.HomeDir, "XDG_RUNTIME_DIR="+runtime, "DBUS_SESSION_BUS_ADDRESS=unix:path="+runtime+"/bus")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	return nil
}

// runArguments are the arguments of systemd-run(1). The unit owns the groups below its own (Delegate=), and is alone in
// its own, so that it can move its only process down and hand controllers on.
func runArguments(j job) []string {
	args := []string{
		"--quiet", "--pipe", "--wait", "--collect", "--service-type=exec", "--unit=stave-command",
		"-p", "Delegate=yes", "--working-directory=" + j.Folder, "--setenv=" + imagePath,
	}
	if j.User != "" {
		args = append(args, "--user")
	}
	for _, variable := range j.Env {
		name, _, _ := strings.Cut(variable, "=")
		own := name == "HOME" || name == "USER" || name == "LOGNAME" || name == "SHELL"
		if name != "PATH" && (!own || j.User == "") {
			args = append(args, "--setenv="+variable)
		}
	}
	args = append(args, "--")
	for _, word := range j.Command {
		args = append(args, strings.ReplaceAll(word, "$", "$$")) // systemd replaces variables in the words
	}
	return args
}
