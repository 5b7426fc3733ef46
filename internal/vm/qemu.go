// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"
)

// emulator is the program that is started.
const emulator = "qemu-system-x86_64"

// kernelArguments are for every boot: the console, an end of the machine at a panic, and no work that an emulated
// processor need not do. no_timer_check: under load the check finds the emulated timer dead, and panics.
const kernelArguments = "console=ttyS0 quiet panic=-1 reboot=t no_timer_check tsc=reliable mitigations=off init_on_alloc=0 nokaslr " +
	"cgroup_no_v1=all"

// The descriptors that QEMU inherits, in this order from 3 on: as /dev/fd/N they are files without a name.
const (
	initrdFile = iota + 3
	consoleFile
	outputFile
	statusFile
	coverageFile
	scratchFile
)

// machine is the command line of QEMU.
func (o options) machine(image string, accelerator []string) []string {
	args := append(slices.Clone(accelerator), "-M", "q35", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-smp", fmt.Sprint(o.cpus), "-m", o.memory,
		"-kernel", image, "-initrd", descriptor(initrdFile), "-append", kernelArguments,
		"-chardev", "file,id=console,path="+descriptor(consoleFile), "-serial", "chardev:console",
		"-device", "virtio-serial-pci")
	args = append(args, port("output", outputPort, outputFile)...)
	args = append(args, port("status", statusPort, statusFile)...)
	args = append(args, port("coverage", coveragePort, coverageFile)...)
	args = append(args, folder("host", "/", true)...)
	if o.share != "" {
		args = append(args, folder("share", o.share, false)...)
	}
	if o.systemd != "" { // what the guest changes goes to a temporary file
		args = append(args, "-drive", "if=virtio,format=raw,snapshot=on,cache=unsafe,file="+o.systemd)
	}
	return append(args, "-drive", "if=virtio,format=raw,file.locking=off,cache=unsafe,file="+descriptor(scratchFile))
}

// descriptor is the path of an inherited file.
func descriptor(number int) string { return fmt.Sprintf("/dev/fd/%d", number) }

// port is a virtio-serial port: a hundred times as fast as the emulated serial line, and free of kernel messages.
func port(id, name string, file int) []string {
	return []string{
		"-chardev", fmt.Sprintf("file,id=%s,path=%s", id, descriptor(file)),
		"-device", fmt.Sprintf("virtserialport,chardev=%s,name=%s", id, name),
	}
}

// folder is a folder of this machine that the guest can mount over 9p.
func folder(tag, path string, readonly bool) []string {
	access := ""
	if readonly {
		access = ",readonly=on"
	}
	return []string{
		"-fsdev", fmt.Sprintf("local,id=%s,path=%s,security_model=none,multidevs=remap%s", tag, path, access),
		"-device", fmt.Sprintf("virtio-9p-pci,fsdev=%s,mount_tag=%s", tag, tag),
	}
}

// accelerate chooses KVM where the processor virtualises and the device opens. Elsewhere /dev/kvm may be there too, in a
// machine that is emulated itself, but run no ordinary kernel. The emulated processor avoids two errors of QEMU 7.2: its
// cmpxchg16b corrupts the flags, and its threads race with a kernel that patches its own code.
func accelerate(cpuinfo string, opens bool) []string {
	words := strings.Fields(cpuinfo)
	if opens && (slices.Contains(words, "vmx") || slices.Contains(words, "svm")) {
		return []string{"-accel", "kvm", "-cpu", "host"}
	}
	return []string{"-accel", "tcg,thread=single", "-cpu", "max,-cx16"}
}
