// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// first is the guest's first process: it prepares the system and runs the command, or becomes systemd. It does not
// return: when the first process ends, the kernel panics.
func first() {
	j, err := readJob("/job.json")
	if err == nil {
		err = begin(j)
	}
	if err == nil && j.Systemd {
		err = becomeSystemd(j)
	} else if err == nil {
		err = arrange(j)
	}
	if err != nil {
		giveUp(err)
	}
	finish(j, func(output *os.File) (int, error) { return run(j, output) })
}

// readJob reads what is to be done.
func readJob(name string) (job, error) {
	var j job
	text, err := os.ReadFile(name)
	if err != nil {
		return j, err
	}
	return j, json.Unmarshal(text, &j)
}

// begin makes the initramfs usable and loads the modules.
func begin(j job) error {
	early := []mountPoint{{"proc", "/proc", "proc", 0, ""}, {"dev", "/dev", "devtmpfs", 0, ""}, {"sysfs", "/sys", "sysfs", 0, ""}}
	if err := mountAll(early); err != nil {
		return err
	}
	for _, name := range j.Modules {
		if err := load("/modules/" + name); err != nil {
			return fmt.Errorf("load the module %s: %w", name, err)
		}
	}
	return nil
}

// load loads a kernel module, unless it is there already.
func load(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.FinitModule(int(file.Fd()), "", 0); err != nil && err != unix.EEXIST {
		return err
	}
	return nil
}

// mountAll mounts one after the other.
func mountAll(all []mountPoint) error {
	for _, m := range all {
		if err := os.MkdirAll(m.target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, m.target, m.kind, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.target, err)
		}
	}
	return nil
}

// arrange makes the host's files the root and prepares what an init system would.
func arrange(j job) error {
	roots := rootMounts()
	if err := mountAll(roots[:2]); err != nil {
		return err
	}
	for _, name := range []string{"/upper/data", "/upper/work"} {
		if err := os.Mkdir(name, 0o755); err != nil {
			return err
		}
	}
	if err := mountAll(roots[2:]); err != nil {
		return err
	}
	if err := switchRoot(); err != nil {
		return err
	}
	if err := mountAll(systemMounts()); err != nil {
		return err
	}
	if j.Share != "" {
		if err := mountAll([]mountPoint{shareMount("", j.Share)}); err != nil {
			return err
		}
	}
	for name, target := range map[string]string{"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"} {
		if err := os.Symlink("/proc/self/fd"+target, "/dev/"+name); err != nil {
			return err
		}
	}
	if err := unix.Sethostname([]byte("vm")); err != nil {
		return err
	}
	if err := raiseLoopback(); err != nil {
		return err
	}
	return allowControllers("/sys/fs/cgroup")
}

// switchRoot makes newRoot the root: as switch_root(8) it moves the mount, since with chroot alone no user namespace
// could be made (user_namespaces(7)), and pivot_root(2) does not work on an initramfs.
func switchRoot() error {
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move %s to /: %w", newRoot, err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return os.Chdir("/")
}

// raiseLoopback brings the link lo up, see netdevice(7).
func raiseLoopback() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	request.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("bring lo up: %w", err)
	}
	return nil
}

// allowControllers hands all controllers of a group down to its children.
func allowControllers(group string) error {
	list, err := os.ReadFile(group + "/cgroup.controllers")
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(list)) {
		if err := os.WriteFile(group+"/cgroup.subtree_control", []byte("+"+name), 0); err != nil {
			return fmt.Errorf("controller %s: %w", name, err)
		}
	}
	return nil
}

// openPort opens a virtio-serial port by name. Its writes block until the host has taken the data, so that nothing is
// lost when the machine ends: that is why the descriptor must not become a non-blocking one, as os.OpenFile makes it.
func openPort(name string) (*os.File, error) {
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		return nil, err
	}
	for _, file := range names {
		text, err := os.ReadFile(file)
		if err != nil || strings.TrimSpace(string(text)) != name {
			continue
		}
		device := "/dev/" + filepath.Base(filepath.Dir(file))
		descriptor, err := unix.Open(device, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("port %s, %s: %w", name, device, err)
		}
		return os.NewFile(uintptr(descriptor), device), nil
	}
	return nil, fmt.Errorf("no virtio-serial port %s", name)
}

// giveUp tells the launcher why there is no exit status, and ends the machine.
func giveUp(err error) {
	fmt.Println("vm:", err) // the console, in case there is no port
	if status, bad := openPort(statusPort); bad == nil {
		fmt.Fprintf(status, "%s%s\n", statusError, strings.ReplaceAll(err.Error(), "\n", " "))
	}
	powerOff()
}

// powerOff ends the machine: QEMU was told not to boot it again (-no-reboot).
func powerOff() {
	unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {} // the kernel has a moment left
}

// finish runs the command by a function, reports what became of it, and ends the machine.
func finish(j job, run func(output *os.File) (int, error)) {
	status, err := openPort(statusPort)
	if err != nil {
		giveUp(err)
	}
	output, err := openPort(outputPort)
	if err != nil {
		giveUp(err)
	}
	if err := makeFolders(); err != nil {
		giveUp(err)
	}
	fmt.Fprintln(status, statusStarted)
	code, err := run(output)
	if err == nil {
		err = sendCoverage(j.Coverage)
	}
	if err != nil {
		fmt.Fprintf(status, "%s%s\n", statusError, strings.ReplaceAll(err.Error(), "\n", " "))
	} else {
		fmt.Fprintf(status, "%s%d\n", statusExit, code)
	}
	powerOff()
}

// makeFolders makes the folders for temporary files and for coverage, for any user.
func makeFolders() error {
	for _, name := range []string{guestTemp, guestCoverageFolder} {
		if err := os.Mkdir(name, 0o777); err != nil {
			return err
		}
		if err := os.Chmod(name, 0o777|os.ModeSticky); err != nil { // whatever the umask
			return err
		}
	}
	return nil
}

// sendCoverage sends the file that a test binary wrote, if it did: one that crashed has not.
func sendCoverage(name string) error {
	if name == "" {
		return nil
	}
	text, err := os.ReadFile(name)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	port, err := openPort(coveragePort)
	if err != nil {
		return err
	}
	_, err = port.Write(text)
	return err
}

// run runs the command as the child of the first process, which also reaps every orphan.
func run(j job, output *os.File) (int, error) {
	os.Clearenv()
	for _, variable := range j.Env {
		name, value, _ := strings.Cut(variable, "=")
		os.Setenv(name, value)
	}
	cmd := exec.Command(j.Command[0], j.Command[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = j.Folder, output, output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	for {
		var ended unix.WaitStatus
		pid, err := unix.Wait4(-1, &ended, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, fmt.Errorf("wait for the command: %w", err)
		case pid == cmd.Process.Pid:
			return exitCode(ended), nil
		}
	}
}

// exitCode is a shell's exit code: 128 and the number of the signal if one ended the process.
func exitCode(ended unix.WaitStatus) int {
	if ended.Signaled() {
		return 128 + int(ended.Signal())
	}
	return ended.ExitStatus()
}
