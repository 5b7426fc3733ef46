// SPDX-License-Identifier: Apache-2.0

package container

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/checkpoint-restore/go-criu/v8/rpc"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// criu is a process of CRIU that answers requests over a socket, in the form of protocol buffers (https://criu.org/RPC).
type criu struct {
	process        *kernel.Process
	program        string // its path
	socket, theirs int
	output         int // what it writes before it has a log
}

// oldestCRIU is the first version that knows all that is asked of it: 3.16, as CRIU counts. An older one would pass over an
// option that it doesn't know.
const oldestCRIU = 31600

// newCRIU finds the program and makes what connects us with its process.
func newCRIU() (*criu, error) {
	program, err := findCRIU()
	if err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("a socket to CRIU: %w", err)
	}
	output, err := unix.MemfdCreate("criu-output", unix.MFD_CLOEXEC)
	if err != nil {
		unix.Close(pair[0])
		unix.Close(pair[1])
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return &criu{program: program, socket: pair[0], theirs: pair[1], output: output}, nil
}

// findCRIU looks for the program in PATH and where packages put it, which is not in everybody's PATH.
func findCRIU() (string, error) { return lookCRIU("criu", "/usr/local/sbin/criu", "/usr/sbin/criu") }

// lookCRIU returns the first of some programs that is there.
func lookCRIU(names ...string) (string, error) {
	for _, name := range names {
		if program, err := exec.LookPath(name); err == nil {
			return program, nil
		}
	}
	return "", fmt.Errorf("CRIU, by which checkpoint and restore are done, is not installed: there is no %s (the first in PATH); install it (Debian: apt-get install criu; see https://criu.org)", strings.Join(names, ", "))
}

// start starts the process: after calls of the host and then of its own, and with some of our descriptors, which keep their
// numbers.
func (c *criu) start(host, own []kernel.Call, descriptors []int, o kernel.Options) error {
	own = slices.Concat([]kernel.Call{
		{Request: kernel.ResetSignals{}, Why: "a signal ignored by the starter would stay ignored in CRIU"},
	}, own, []kernel.Call{
		{Request: kernel.CloseDescriptors{}, Why: "CRIU gets those that it is to have, and no others"},
		{Request: serve{Output: c.output, Pass: append(descriptors, c.theirs)}, Why: "CRIU reads nothing and writes into our memory"},
		{Request: kernel.Exec{Args: []string{c.program, "swrk", fmt.Sprint(c.theirs)}, Env: os.Environ()}, Why: "the process becomes CRIU"},
	})
	process, err := kernel.Program{Host: host, Container: own}.Start(o)
	unix.Close(c.theirs)
	c.theirs = -1
	c.process = process
	return err
}

// serve gives a process its streams and keeps descriptors open over execve.
type serve struct {
	Output int
	Pass   []int
}

// String says what it does.
func (s serve) String() string { return "open /dev/null and a file as the streams" }

// Shell is a redirection.
func (s serve) Shell() string { return fmt.Sprintf("exec </dev/null >&%d 2>&1", s.Output) }

// Assemble is dup3(2) and fcntl(2). The numbers of descriptors are the parent's.
func (s serve) Assemble(a *kernel.Assembler) {
	const null kernel.Slot = "null"
	a.Sys(unix.SYS_OPENAT, kernel.Int(unix.AT_FDCWD), kernel.Str("/dev/null"), kernel.Int(unix.O_RDONLY|unix.O_CLOEXEC), kernel.Int(0)).Into(null)
	a.Sys(unix.SYS_DUP3, kernel.FD(null), kernel.Int(0), kernel.Int(0))
	for fd := 1; fd <= 2; fd++ {
		a.Sys(unix.SYS_DUP3, kernel.Int(s.Output), kernel.Int(fd), kernel.Int(0))
	}
	for _, fd := range s.Pass {
		a.Sys(unix.SYS_FCNTL, kernel.Int(fd), kernel.Int(unix.F_SETFD), kernel.Int(0))
	}
}

// end closes the connection, on which CRIU ends, and collects its process.
func (c *criu) end() {
	unix.Close(c.socket)
	if c.theirs >= 0 {
		unix.Close(c.theirs)
	}
	if c.process != nil {
		c.process.Wait()
	}
	unix.Close(c.output)
}

// check asks CRIU whether it is new enough, and whether it has what is needed.
func (c *criu) check(features *rpc.CriuFeatures) error {
	answer, err := c.ask(&rpc.CriuReq{Type: new(rpc.CriuReqType_VERSION), KeepOpen: new(true)}, nil)
	if err != nil {
		return c.unfit(err)
	}
	v := answer.GetVersion()
	if n := v.GetMajorNumber()*10000 + v.GetMinorNumber()*100 + v.GetSublevel(); n < oldestCRIU {
		return fmt.Errorf("%s has version %d.%d, and 3.16 or later is needed: install a newer one", c.program, v.GetMajorNumber(), v.GetMinorNumber())
	}
	if features == nil {
		return nil
	}
	answer, err = c.ask(&rpc.CriuReq{Type: new(rpc.CriuReqType_FEATURE_CHECK), KeepOpen: new(true), Features: features, Opts: &rpc.CriuOpts{ImagesDirFd: new(int32(-1))}}, nil)
	switch has := answer.GetFeatures(); {
	case err != nil:
		return fmt.Errorf("%s: it doesn't say what this kernel can do: %w", c.program, err)
	case features.GetMemTrack() && !has.GetMemTrack():
		return errors.New("--pre-dump: this kernel does not track which memory has changed (CONFIG_MEM_SOFT_DIRTY; criu check --feature mem_dirty_track)")
	case features.GetLazyPages() && !has.GetLazyPages():
		return errors.New("--lazy-pages: this kernel lacks what it needs of userfaultfd(2) (criu check --feature uffd-noncoop)")
	}
	return nil
}

// unfit says why CRIU doesn't even begin: what its own check finds missing on this machine.
func (c *criu) unfit(err error) error {
	out, failed := exec.Command(c.program, "check").CombinedOutput()
	found := complaints(string(out))
	if failed == nil {
		found = complaints(c.written())
	}
	if found == "" {
		return fmt.Errorf("%s: %w; criu check says whether this kernel has what it needs", c.program, err)
	}
	return fmt.Errorf("CRIU is installed (%s), but does not work with this kernel: criu check says %q: try a newer criu, or another kernel", c.program, found)
}

// written is what CRIU wrote before it had a log.
func (c *criu) written() string {
	text, _ := kernel.ReadFile(fmt.Sprintf("/proc/self/fd/%d", c.output))
	return string(text)
}

// complaints returns the last lines of a log of CRIU's that tell of errors, or its last line.
//
//	(00.009177) Error (criu/mount.c:1047): mnt: Unable to statfs 480 /data: Permission denied
func complaints(log string) string {
	const most = 4
	lines := strings.Split(strings.TrimSpace(log), "\n")
	errs := slices.DeleteFunc(slices.Clone(lines), func(line string) bool { return !strings.Contains(line, "Error (") })
	if len(errs) == 0 {
		return lines[len(lines)-1]
	}
	return strings.Join(errs[max(0, len(errs)-most):], "\n")
}

// failure adds to an error what CRIU's log says of it.
func (c *criu) failure(what, log string, err error) error {
	text, readErr := os.ReadFile(log)
	if found := complaints(string(text)); readErr == nil && found != "" {
		return fmt.Errorf("%s by CRIU: %w: %q; the whole log is %s", what, err, found, log)
	}
	if found := complaints(c.written()); found != "" {
		return fmt.Errorf("%s by CRIU: %w: %q", what, err, found)
	}
	return fmt.Errorf("%s by CRIU: %w", what, err)
}

// ask sends a request and waits for the answer. What CRIU tells meanwhile goes to tell, with the descriptors that come with
// it; an error of its makes CRIU take everything back, and is the answer.
func (c *criu) ask(r *rpc.CriuReq, tell func(n *rpc.CriuNotify, descriptors []int) error) (*rpc.CriuResp, error) {
	if err := c.send(r); err != nil {
		return nil, err
	}
	var failed error
	for {
		answer, descriptors, err := c.receive()
		if err != nil {
			return nil, errors.Join(failed, err)
		}
		if answer.GetType() != rpc.CriuReqType_NOTIFY {
			if failed == nil && !answer.GetSuccess() {
				failed = refusal(answer)
			}
			return answer, failed
		}
		if failed == nil {
			failed = tell(answer.GetNotify(), descriptors)
		}
		for _, fd := range descriptors {
			unix.Close(fd)
		}
		if err := c.send(&rpc.CriuReq{Type: new(rpc.CriuReqType_NOTIFY), NotifySuccess: new(failed == nil)}); err != nil {
			return nil, errors.Join(failed, err)
		}
	}
}

// refusal is the error that an answer stands for.
func refusal(answer *rpc.CriuResp) error {
	if text := answer.GetCrErrmsg(); text != "" {
		return errors.New(text)
	}
	if n := answer.GetCrErrno(); n != 0 {
		return unix.Errno(n)
	}
	return errors.New("it failed")
}

// send sends a request.
func (c *criu) send(r *rpc.CriuReq) error {
	data, err := r.MarshalVT()
	if err != nil {
		return err
	}
	for {
		err := unix.Sendto(c.socket, data, unix.MSG_NOSIGNAL, nil)
		if err != unix.EINTR {
			return sendError(err)
		}
	}
}

// sendError says what it means that nobody takes a request.
func sendError(err error) error {
	if err == unix.EPIPE {
		return errGone
	}
	return err
}

// errGone is the error of a process that ended without an answer.
var errGone = errors.New("the process has ended without an answer")

// receive receives one message and its descriptors.
func (c *criu) receive() (*rpc.CriuResp, []int, error) {
	data, control := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(4*8))
	var n, used int
	var err error
	for {
		n, used, _, _, err = unix.Recvmsg(c.socket, data, control, unix.MSG_CMSG_CLOEXEC)
		if err != unix.EINTR {
			break
		}
	}
	if n == 0 || err == unix.ECONNRESET {
		return nil, nil, errGone
	}
	if err != nil {
		return nil, nil, err
	}
	var descriptors []int
	messages, err := unix.ParseSocketControlMessage(control[:used])
	for _, m := range messages {
		fds, _ := unix.ParseUnixRights(&m)
		descriptors = append(descriptors, fds...)
	}
	answer := &rpc.CriuResp{}
	return answer, descriptors, errors.Join(err, answer.UnmarshalVT(bytes.Clone(data[:n])))
}
