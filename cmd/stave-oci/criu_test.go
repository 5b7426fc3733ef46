// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"
)

// fakeCRIU puts a program criu first in PATH: this test's own, which [actCRIU] makes one that writes down what it is asked
// for, or, with a script, a shell script. It returns the folder that the program writes to.
func fakeCRIU(t *testing.T, script string) string {
	t.Helper()
	dir := folder(t)
	if script != "" {
		put(t, dir+"/criu", "#!/bin/sh\n"+script, 0o755)
	} else {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(self, dir+"/criu"); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("FAKE_CRIU", dir)
	return dir
}

// asked returns the last request of a kind that the fake got.
func asked(t *testing.T, dir, kind string) *rpc.CriuOpts {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, kind))
	if err != nil {
		t.Fatal(err)
	}
	r := &rpc.CriuReq{}
	if err := r.UnmarshalVT(data); err != nil {
		t.Fatal(err)
	}
	return r.GetOpts()
}

// actCRIU is the fake: it speaks CRIU's protocol, and instead of a dump kills the process, and instead of a restore starts
// a program. FAKE_CRIU_FAIL makes it fail at the end.
func actCRIU() int {
	if len(os.Args) != 3 || os.Args[1] != "swrk" {
		fmt.Fprintln(os.Stderr, "Error (criu/fake.c:1): called with", os.Args[1:])
		return 1
	}
	fd, _ := strconv.Atoi(os.Args[2])
	connection, err := net.FileConn(os.NewFile(uintptr(fd), "socket"))
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error (criu/fake.c:2):", err)
		return 1
	}
	f := fake{connection}
	for {
		r, err := f.receive()
		if err != nil {
			return 0
		}
		answer := &rpc.CriuResp{Type: r.Type, Success: new(true)}
		switch r.GetType() {
		case rpc.CriuReqType_VERSION:
			answer.Version = &rpc.CriuVersion{MajorNumber: new(int32(3)), MinorNumber: new(int32(16))}
			if os.Getenv("FAKE_CRIU_FAIL") == "old" {
				answer.Version.MinorNumber = new(int32(15))
			}
		case rpc.CriuReqType_FEATURE_CHECK:
			has := os.Getenv("FAKE_CRIU_FAIL") != "features"
			answer.Features = &rpc.CriuFeatures{MemTrack: new(has), LazyPages: new(has)}
		case rpc.CriuReqType_DUMP, rpc.CriuReqType_PRE_DUMP:
			f.dump(r)
		case rpc.CriuReqType_RESTORE:
			f.restore(r)
		}
		if mode := os.Getenv("FAKE_CRIU_FAIL"); mode == "end" && r.GetType() != rpc.CriuReqType_VERSION {
			answer.Success, answer.CrErrno = new(false), new(int32(unix.EBUSY))
		}
		f.send(answer)
	}
}

// fake is the fake's connection.
type fake struct{ net.Conn }

// receive receives a request.
func (f fake) receive() (*rpc.CriuReq, error) {
	data := make([]byte, 1<<16)
	n, err := f.Read(data)
	if err != nil {
		return nil, err
	}
	r := &rpc.CriuReq{}
	return r, r.UnmarshalVT(data[:n])
}

// send sends an answer.
func (f fake) send(answer *rpc.CriuResp) {
	data, err := answer.MarshalVT()
	if err != nil {
		panic(err)
	}
	f.Write(data)
}

// tell sends a notification, and reports whether it was taken well.
func (f fake) tell(script string, pid int) bool {
	f.send(&rpc.CriuResp{Type: new(rpc.CriuReqType_NOTIFY), Success: new(true), Notify: &rpc.CriuNotify{Script: new(script), Pid: new(int32(pid))}})
	r, err := f.receive()
	return err == nil && r.GetNotifySuccess()
}

// write writes a file into the folder of the fake, and what is wrong with a descriptor as CRIU would see it.
func (f fake) write(name string, r *rpc.CriuReq) {
	data, _ := r.MarshalVT()
	dir := os.Getenv("FAKE_CRIU")
	os.WriteFile(filepath.Join(dir, name), data, 0o644)
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	os.WriteFile(dir+"/mountinfo", mounts, 0o644)
	parent := os.Getppid()
	images := fmt.Sprintf("/proc/%d/fd/%d", parent, r.GetOpts().GetImagesDirFd())
	if err := os.WriteFile(images+"/pstree.img", nil, 0o600); err != nil {
		panic(err)
	}
	work := images
	if r.GetOpts().WorkDirFd != nil {
		work = fmt.Sprintf("/proc/%d/fd/%d", parent, r.GetOpts().GetWorkDirFd())
	}
	os.WriteFile(work+"/"+r.GetOpts().GetLogFile(), []byte("(00.1) Error (criu/fake.c:7): the fake's reason\n"), 0o600)
}

// dump ends the process, unless it is to go on.
func (f fake) dump(r *rpc.CriuReq) {
	f.write("dump", r)
	f.tell("status-ready", 0)
	if !r.GetOpts().GetLeaveRunning() && r.GetType() == rpc.CriuReqType_DUMP && os.Getenv("FAKE_CRIU_FAIL") == "" {
		syscall.Kill(int(r.GetOpts().GetPid()), syscall.SIGKILL)
	}
}

// restore starts a program as a sibling of the fake. It tells with which streams it was asked.
func (f fake) restore(r *rpc.CriuReq) {
	var streams []string
	for _, i := range r.GetOpts().GetInheritFd() {
		link, _ := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", i.GetFd()))
		streams = append(streams, i.GetKey()+"="+link)
	}
	os.WriteFile(os.Getenv("FAKE_CRIU")+"/streams", []byte(strings.Join(streams, "\n")), 0o644)
	f.write("restore", r)
	c := exec.Command("sh", "-c", "trap 'exit 9' TERM; : >$FAKE_CRIU/ready; while :; do sleep 0.05; done")
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_PARENT}
	if err := c.Start(); err != nil {
		panic(err)
	}
	if !f.tell("setup-namespaces", c.Process.Pid) || !f.tell("post-restore", c.Process.Pid) || os.Getenv("FAKE_CRIU_FAIL") == "end" {
		syscall.Kill(c.Process.Pid, syscall.SIGKILL)
	}
}
