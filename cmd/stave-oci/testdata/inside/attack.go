// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// report is what an attack has seen, and done. The tests read it from a file, which is replaced whole.
type report struct {
	file   string
	counts map[string]int
}

// until attacks until there is a file "end" beside the report, and replaces the report each time that something new happened.
func (r *report) until(attack func()) {
	for said := ""; ; {
		attack()
		if text := fmt.Sprint(r.counts); text != said {
			said = text
			os.WriteFile(r.file+".new", []byte(text), 0o644)
			os.Rename(r.file+".new", r.file)
		}
		if _, err := os.Stat(r.file + ".end"); err == nil {
			return
		}
	}
}

// others calls f with the folder below /proc of each process that is not an attacker, and whose name passes.
func others(f func(pid int, name string)) {
	folder, err := os.Open("/proc")
	if err != nil {
		return
	}
	defer folder.Close()
	names, _ := folder.Readdirnames(-1)
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == os.Getpid() {
			continue
		}
		comm, err := os.ReadFile("/proc/" + name + "/comm")
		if err == nil {
			f(pid, strings.TrimSpace(string(comm)))
		}
	}
}

// overwrite opens the program of each process, keeps it, and tries to write to it then and later, as CVE-2019-5736 does. So
// that nothing else is ever hit, it does so with one file only, of which it gets device and inode. What it counts: "kept" is
// how often it got hold of it, "written" how often it wrote.
func overwrite(file, device, inode string) {
	r := &report{file, map[string]int{"alive": 1}}
	var kept []int
	r.until(func() {
		others(func(pid int, _ string) {
			fd, err := unix.Open(fmt.Sprintf("/proc/%d/exe", pid), unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				return
			}
			var stat unix.Stat_t
			err = unix.Fstat(fd, &stat)
			if err != nil || fmt.Sprint(stat.Dev) != device || fmt.Sprint(stat.Ino) != inode || len(kept) > 20 {
				unix.Close(fd)
				return
			}
			r.counts["kept"]++
			kept = append(kept, fd)
		})
		for _, fd := range kept {
			if spoil(fd) {
				r.counts["written"]++
			}
		}
	})
}

// spoil tries to write to a file that is open as a mere reference.
func spoil(fd int) bool {
	for _, flags := range []int{unix.O_WRONLY, unix.O_RDWR, unix.O_WRONLY | unix.O_APPEND} {
		to, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", fd), flags|unix.O_CLOEXEC, 0)
		if err == nil {
			n, _ := unix.Write(to, []byte("spoilt"))
			unix.Close(to)
			return n > 0
		}
	}
	return false
}

// spy looks into each process that joins the container, as long as it has not executed its command, which is called "true".
// What it counts: by name what was seen of such a process, and what could be done to it.
func spy(file string) {
	r := &report{file, map[string]int{"alive": 1}}
	r.until(func() {
		others(func(pid int, name string) {
			if name == "true" || name == "sh" || name == "inside" || name == "sleep" {
				return
			}
			r.counts["seen"]++
			for what, try := range intrusions() {
				ok := try(pid)
				again, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
				if err != nil || strings.TrimSpace(string(again)) != name {
					return // it has executed its command meanwhile
				}
				r.counts["tried"]++
				if ok {
					r.counts[what+" of "+name]++
				}
			}
		})
	})
}

// intrusions are the ways to look into a process, or to lead it.
func intrusions() map[string]func(pid int) bool {
	opens := func(file string, flags int) func(int) bool {
		return func(pid int) bool {
			fd, err := unix.Open(fmt.Sprintf("/proc/%d/%s", pid, file), flags|unix.O_CLOEXEC, 0)
			if err == nil && flags == unix.O_RDONLY {
				_, err = unix.Read(fd, make([]byte, 1))
				if err == unix.EISDIR {
					err = nil
				}
			}
			unix.Close(fd)
			return err == nil
		}
	}
	return map[string]func(int) bool{
		"mem": opens("mem", unix.O_RDWR), "environ": opens("environ", unix.O_RDONLY), "fd": opens("fd/1", unix.O_PATH),
		"exe": opens("exe", unix.O_PATH), "root": opens("root", unix.O_PATH), "cwd": opens("cwd", unix.O_PATH),
		"namespace": opens("ns/mnt", unix.O_PATH), "seize": func(pid int) bool {
			if unix.PtraceSeize(pid) != nil {
				return false
			}
			unix.PtraceInterrupt(pid)
			unix.Wait4(pid, nil, unix.WALL, nil) // only who is stopped can be let go
			unix.PtraceDetach(pid)
			return true
		},
		"read": func(pid int) bool {
			own := make([]byte, 1)
			local := []unix.Iovec{{Base: &own[0], Len: 1}}
			_, err := unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: 0x400000, Len: 1}}, 0)
			return err != unix.EPERM && err != unix.ESRCH
		},
		"folder": func(pid int) bool { // one of those that lead somewhere
			for n := 3; n < 64; n++ {
				var stat unix.Stat_t
				if unix.Stat(fmt.Sprintf("/proc/%d/fd/%d", pid, n), &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR {
					return true
				}
			}
			return false
		},
		"descriptor": func(pid int) bool {
			handle, err := unix.PidfdOpen(pid, 0)
			if err != nil {
				return false
			}
			defer unix.Close(handle)
			got, err := unix.PidfdGetfd(handle, 1, 0)
			unix.Close(got)
			return err == nil
		},
	}
}

// swap exchanges two names until there is a file "end" (renameat2(2), RENAME_EXCHANGE).
func swap(file, one, other string) {
	r := &report{file, map[string]int{"alive": 1}}
	r.until(func() {
		for range 100 {
			if err := unix.Renameat2(unix.AT_FDCWD, one, unix.AT_FDCWD, other, unix.RENAME_EXCHANGE); err != nil {
				r.counts[err.Error()]++
			}
		}
	})
}

// connect connects to a socket as the program that starts a container does, and lets what waits there go on.
func connect(name string) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: name})
	}
	if err == nil {
		_, err = unix.Write(fd, []byte{1})
	}
	fmt.Println("connect:", err)
}
