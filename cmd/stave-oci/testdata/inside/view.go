// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net"
	"os"
	"reflect"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// view prints what a shell can't see of the process that it is: sections as those of the test's script.
func view() {
	fmt.Println("== process")
	if os.Getpid() == 1 { // otherwise it has numbers of the machine
		fmt.Println("parent", os.Getppid())
	}
	fmt.Println("umask", unix.Umask(0))
	keyring, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, unix.KEY_SPEC_SESSION_KEYRING)
	fmt.Println("session keyring", keyring, err)
	var name unix.Utsname
	unix.Uname(&name)
	fmt.Printf("names %s, %s, machine %s\n", text(name.Nodename[:]), text(name.Domainname[:]), text(name.Machine[:]))
	personality, _, _ := syscall.RawSyscall(unix.SYS_PERSONALITY, 0xffffffff, 0, 0)
	fmt.Println("personality", personality)
	for _, option := range []int{
		unix.PR_GET_KEEPCAPS, unix.PR_GET_SECUREBITS, unix.PR_GET_TIMERSLACK, unix.PR_GET_THP_DISABLE, unix.PR_GET_DUMPABLE,
		unix.PR_GET_TIMING, unix.PR_MCE_KILL_GET, unix.PR_GET_IO_FLUSHER, unix.PR_GET_SPECULATION_CTRL,
	} {
		value, err := unix.PrctlRetInt(option, 0, 0, 0, 0)
		fmt.Println("prctl", option, value, err)
	}
	answer := make([]int32, 1)
	for _, option := range []int{unix.PR_GET_PDEATHSIG, unix.PR_GET_CHILD_SUBREAPER} {
		err := unix.Prctl(option, reflect.ValueOf(answer).Pointer(), 0, 0, 0)
		fmt.Println("prctl", option, answer[0], err)
	}
	priority, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	fmt.Println("priority", priority, err)
	policy, _, _ := syscall.RawSyscall(unix.SYS_SCHED_GETSCHEDULER, 0, 0, 0)
	io, _, _ := syscall.RawSyscall(unix.SYS_IOPRIO_GET, 1, 0, 0)
	fmt.Println("scheduler", policy, "disk priority", io)
	descriptors()
	interfaces()
	if settings, err := unix.IoctlGetTermios(0, unix.TCGETS); err == nil {
		fmt.Printf("termios %x %x %x %x %v\n", settings.Iflag, settings.Oflag&^unix.ONLCR, settings.Cflag, settings.Lflag, settings.Cc)
		group, err := unix.IoctlGetInt(0, unix.TIOCGPGRP)
		fmt.Println("foreground group", group == unix.Getpgrp(), err)
	}
}

// text cuts a string of C at its end.
func text(b []byte) string { return unix.ByteSliceToString(b) }

// descriptors prints the kind, the flags and the owner of each of the first ten descriptors.
func descriptors() {
	for fd := range 10 {
		var stat unix.Stat_t
		if unix.Fstat(fd, &stat) != nil {
			continue
		}
		flags, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
		closes, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if closes == 0 { // the others are the Go runtime's own: nothing that is inherited closes on execve
			flags &^= unix.O_CLOEXEC | 0x8000 // O_LARGEFILE: these two only say with which call it was opened
			fmt.Printf("descriptor %d: mode %o, owner %d:%d, flags %x\n", fd, stat.Mode, stat.Uid, stat.Gid, flags)
		}
	}
}

// interfaces prints the network interfaces with their addresses.
func interfaces() {
	list, err := net.Interfaces()
	fmt.Println("interfaces", len(list), err)
	for _, i := range list {
		addresses, err := i.Addrs()
		fmt.Println("interface", i.Name, i.Flags, i.MTU, addresses, err)
	}
}

// calls makes every system call up to number 450, the last that runc's library knows, with arguments that no call takes,
// and prints the error numbers: a filter's own are seen among them. Left out are those that would end or stop the
// process (15, 34, 57, 58, 60, 153, 231, 335, 336), reach beyond it (62, 68, 162, 169, 246, 320) or are about the clock (159, 164, 227, 305).
func calls() {
	debug.SetGCPercent(-1)
	skip := []uintptr{15, 34, 57, 58, 60, 62, 68, 153, 159, 162, 164, 169, 227, 231, 246, 305, 320, 335, 336}
	var line []byte
	for n := range uintptr(451) {
		if slices.Contains(skip, n) {
			continue
		}
		const all = ^uintptr(0)
		_, _, errno := syscall.RawSyscall6(n, all, all, all, all, all, all)
		line = strconv.AppendUint(append(line, ' '), uint64(n), 10)
		line = strconv.AppendUint(append(line, ':'), uint64(errno), 10)
		if n%25 == 24 {
			line = append(line, '\n')
		}
	}
	os.Stdout.Write(append(line, '\n'))
}

// onThread runs f on a thread that is not the first, and ends with code 99 if a filter kills that thread alone.
func onThread(f func()) {
	ended, thread := make(chan bool), make(chan int)
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == os.Getpid() { // the first thread stays in the list of threads when it is dead
			go onThread(f)
			select {}
		}
		thread <- unix.Gettid()
		f()
		ended <- true
	}()
	tid := <-thread
	for {
		select {
		case <-ended:
			os.Exit(0)
		case <-time.After(time.Millisecond):
			if _, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid)); err != nil {
				os.Exit(99)
			}
		}
	}
}

// try makes the system call with a number, with small arguments, and prints the error; a filter may look at them.
func try() {
	for _, word := range os.Args[2:] {
		number, err := strconv.ParseUint(word, 10, 32)
		if err != nil {
			fmt.Println(err)
			os.Exit(2)
		}
		for a := range uintptr(10) {
			_, _, errno := syscall.RawSyscall6(uintptr(number), a, a*16, a|1<<33, 0, 0, 0)
			fmt.Println(number, a, uint64(errno))
		}
	}
}
