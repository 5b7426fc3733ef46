// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// scratchSize is the size of the disk /scratch in bytes; only what is used takes memory.
const scratchSize = 1 << 30

// launch boots a machine that runs the command, and returns the exit code.
func launch(o options) int {
	stop := make(chan os.Signal, 4)
	signal.Notify(stop, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	l, err := prepareLaunch(o, stop)
	if err != nil {
		fmt.Fprintln(os.Stderr, "vm:", err)
		return failed
	}
	for attempt := 1; ; attempt++ {
		seen, err := l.try()
		if err != nil {
			fmt.Fprintln(os.Stderr, "vm:", err)
			return failed
		}
		if seen.problem() == "" {
			return seen.code
		}
		fmt.Fprintln(os.Stderr, "vm:", seen.describe())
		if attempt > 1 || !seen.again() {
			return failed
		}
		fmt.Fprintln(os.Stderr, "vm: this boot was not the command's doing: trying once more")
	}
}

// launcher is what one boot after another is made of.
type launcher struct {
	options
	image    string
	initrd   []byte
	coverage string // file of this machine; empty: none is wanted
	stop     <-chan os.Signal
}

// prepareLaunch reads the kernel and writes the initramfs.
func prepareLaunch(o options, stop <-chan os.Signal) (*launcher, error) {
	k, err := findKernel(o.kernel)
	if err != nil {
		return nil, err
	}
	modules, err := openLibrary(k.modules)
	if err != nil {
		return nil, err
	}
	loaded, err := modules.resolve(words(wantedModules))
	if err != nil {
		return nil, err
	}
	j, coverage, err := o.job()
	if err != nil {
		return nil, err
	}
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		return nil, err
	}
	initrd, err := initramfs(self, j, loaded)
	return &launcher{o, k.image, initrd, coverage, stop}, err
}

// job is what the guest has to do, and where its coverage goes.
func (o options) job() (job, string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return job{}, "", err
	}
	command, coverage := redirectCoverage(o.command)
	if o.systemd == "" || strings.Contains(command[0], "/") { // a mere name is one of the image's programs
		program, err := exec.LookPath(command[0])
		if err != nil {
			return job{}, "", err
		}
		if command[0], err = filepath.Abs(program); err != nil {
			return job{}, "", err
		}
	}
	j := job{Command: command, Env: guestEnvironment(os.Environ()), Folder: folder, Share: o.share, Systemd: o.systemd != "", User: o.user}
	if j.Systemd {
		j.Show = shown(command[0], folder, o.show)
	}
	if coverage != "" {
		j.Coverage = guestCoverage
	}
	return j, coverage, nil
}

// initramfs holds this program as /init, the job, and the modules.
func initramfs(self []byte, j job, modules []module) ([]byte, error) {
	var a archive
	for _, name := range []string{"dev", "proc", "modules", "host", "upper", "root"} {
		a.folder(name)
	}
	a.character("dev/console", 5, 1) // the kernel opens it for /init
	for _, m := range modules {
		j.Modules = append(j.Modules, m.name)
		a.file("modules/"+m.name, 0o644, m.data)
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	a.file("job.json", 0o600, text)
	a.file("init", 0o755, self)
	return a.bytes(), nil
}

// try runs the machine once. An error is one of this machine; what went wrong in the other is in the outcome.
func (l *launcher) try() (*outcome, error) {
	began := time.Now()
	s, err := openStreams(l)
	if err != nil {
		return nil, err
	}
	defer s.close()
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo") // unreadable: no processor is known to virtualise
	var said bytes.Buffer
	qemu := exec.Command(emulator, l.machine(l.image, accelerate(string(cpuinfo), opens("/dev/kvm")))...)
	qemu.ExtraFiles, qemu.Stdout, qemu.Stderr = s.inherited, &said, &said
	qemu.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := qemu.Start(); err != nil {
		return nil, fmt.Errorf("%w (make vm installs QEMU)", err)
	}
	ready := time.Since(began)
	o := l.wait(qemu, s)
	o.qemu = said.String()
	if code := qemu.ProcessState.ExitCode(); code > 0 {
		o.qemu += fmt.Sprintf("exit code %d\n", code)
	}
	if l.verbose {
		p := qemu.ProcessState
		fmt.Fprintf(os.Stderr, "vm: ready after %v, ran %v, processor %v\n", ready.Round(time.Millisecond),
			(time.Since(began) - ready).Round(time.Millisecond), (p.UserTime() + p.SystemTime()).Round(time.Millisecond))
	}
	if o.ended && l.coverage != "" && len(s.coverage) > 0 {
		if err := os.WriteFile(l.coverage, s.coverage, 0o644); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// wait waits for QEMU, and ends it when its time is over or a signal says so.
func (l *launcher) wait(qemu *exec.Cmd, s *streams) *outcome {
	s.handOver()
	ended := make(chan struct{})
	go func() {
		qemu.Wait() // the outcome tells more than its error does
		close(ended)
	}()
	boot, command := time.NewTimer(l.boot), time.NewTimer(l.timeout)
	defer boot.Stop()
	defer command.Stop()
	started := s.started
	var stopped string
	final := false
	for waiting := true; waiting; {
		select {
		case <-ended:
			waiting = false
			continue
		case <-started:
			started = nil
			boot.Stop()
			command.Reset(l.timeout)
			continue
		case <-boot.C:
			stopped = hung(l.boot)
		case <-command.C:
			if started != nil { // the boot has its own time
				continue
			}
			stopped, final = late(l.timeout), true
		case name := <-l.stop:
			stopped, final = fmt.Sprintf("stopped by the signal %q", name), true
		}
		qemu.Process.Kill()
		<-ended
		waiting = false
	}
	o := s.finish()
	o.stopped, o.final = stopped, final
	return o
}

// opens says whether a device can be opened for reading and writing.
func opens(name string) bool {
	device, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	device.Close()
	return true
}

// nameless makes a file in memory that has no name: nobody has to remove it.
func nameless(name string) (*os.File, error) {
	descriptor, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return os.NewFile(uintptr(descriptor), name), nil
}

// scratchDisk makes an ext4 file system.
func scratchDisk() (*os.File, error) {
	disk, err := nameless("scratch")
	if err != nil {
		return nil, err
	}
	if err := disk.Truncate(scratchSize); err != nil {
		return nil, errors.Join(err, disk.Close())
	}
	format := exec.Command("mkfs.ext4", "-q", "-F", "-O", "^has_journal", "-E", "nodiscard", descriptor(3))
	format.ExtraFiles = []*os.File{disk}
	if said, err := format.CombinedOutput(); err != nil {
		return nil, errors.Join(fmt.Errorf("mkfs.ext4: %w: %s", err, said), disk.Close())
	}
	return disk, nil
}
