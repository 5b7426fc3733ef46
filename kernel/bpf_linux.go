// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// bpf is bpf(2): one command, with the attributes that are used of union bpf_attr.
func bpf[T any](command int, attributes *T) (int, error) {
	n, _, e := unix.Syscall(unix.SYS_BPF, uintptr(command), uintptr(unsafe.Pointer(attributes)), unsafe.Sizeof(*attributes))
	runtime.KeepAlive(attributes)
	if e != 0 {
		return -1, e
	}
	return int(n), nil
}

// programLoad is what BPF_PROG_LOAD takes, up to prog_name. The kernel wants addresses of 64 bits, as wide as a pointer
// on the machines stave runs on; as pointers they keep alive what they name.
type programLoad struct {
	kind, count   uint32
	code, licence *byte
	level, size   uint32
	log           *byte
	_, _          uint32 // kern_version, prog_flags
	name          [16]byte
}

// logLines is how much of the verifier's log goes into an error: it tells all that it has looked at, and then why not.
const logLines = 6

// LoadBPF hands a program of a type (BPF_PROG_TYPE_…) in machine code, eight bytes an instruction, to the kernel,
// which verifies it, and returns a descriptor that is closed at execve. The name is for bpftool and [QueryBPF], at most
// 15 letters, digits, "_" or ".". When the verifier refuses the program its last words are part of the error, of which
// the cause is a unix.Errno.
func LoadBPF(kind uint32, name string, code []byte) (int, error) {
	licence := []byte("Apache-2.0\x00") // no function that only GPL programs may call is called
	load := programLoad{kind: kind, count: uint32(len(code) / 8), code: unsafe.SliceData(code), licence: &licence[0]}
	copy(load.name[:len(load.name)-1], name)
	fd, err := bpf(unix.BPF_PROG_LOAD, &load)
	if err == nil {
		return fd, nil
	}
	log := make([]byte, 64<<10)
	load.level, load.size, load.log = 1, uint32(len(log)), &log[0]
	if fd, again := bpf(unix.BPF_PROG_LOAD, &load); again == nil {
		return fd, nil // EAGAIN, or memory that is free by now
	}
	said := strings.Split(strings.TrimSpace(unix.ByteSliceToString(log)), "\n")
	if said[0] == "" {
		return -1, fmt.Errorf("load the program %s: %w", name, err)
	}
	last := said[max(0, len(said)-logLines):]
	return -1, fmt.Errorf("load the program %s: %w; the verifier says: %s", name, err, strings.Join(last, "; "))
}

// attachment is what BPF_PROG_ATTACH and BPF_PROG_DETACH take.
type attachment struct{ target, program, kind, flags uint32 }

// AttachBPF makes a loaded program decide for a cgroup, given by a descriptor of its folder, and for those below it.
// Programs that are there already stay: all of them have to agree (BPF_F_ALLOW_MULTI, Linux 4.15). The kind is
// where it is asked (BPF_CGROUP_DEVICE …).
func AttachBPF(cgroup, program int, kind uint32) error {
	_, err := bpf(unix.BPF_PROG_ATTACH, &attachment{uint32(cgroup), uint32(program), kind, unix.BPF_F_ALLOW_MULTI})
	return err
}

// DetachBPF takes a program from a cgroup.
func DetachBPF(cgroup, program int, kind uint32) error {
	_, err := bpf(unix.BPF_PROG_DETACH, &attachment{uint32(cgroup), uint32(program), kind, 0})
	return err
}

// maxAttached is how many programs of one kind a cgroup holds (BPF_CGROUP_MAX_PROGS of the kernel).
const maxAttached = 64

// QueryBPF opens the programs with a name that are attached to a cgroup itself, of one kind, in the order in which they
// are asked. The caller closes the descriptors. It needs CAP_SYS_ADMIN.
func QueryBPF(cgroup int, kind uint32, name string) ([]int, error) {
	var ids [maxAttached]uint32
	query := struct {
		target, kind, flags, attached uint32
		ids                           *uint32
		count, _                      uint32
	}{target: uint32(cgroup), kind: kind, ids: &ids[0], count: maxAttached}
	if _, err := bpf(unix.BPF_PROG_QUERY, &query); err != nil {
		return nil, os.NewSyscallError("BPF_PROG_QUERY", err)
	}
	var found []int
	for _, id := range ids[:query.count] {
		fd, err := bpf(unix.BPF_PROG_GET_FD_BY_ID, &struct{ id, next, flags uint32 }{id: id})
		if err == unix.ENOENT { // detached since
			continue
		}
		if err == nil {
			var own string
			if own, err = nameOf(fd); own == name && err == nil {
				found = append(found, fd)
				continue
			}
			unix.Close(fd)
		}
		if err != nil {
			closeAll(found)
			return nil, fmt.Errorf("look at the program %d: %w", id, err)
		}
	}
	return found, nil
}

// nameOf returns the name of a loaded program, from struct bpf_prog_info.
func nameOf(program int) (string, error) {
	const nameAt, nameEnd = 64, 80
	var info [nameEnd]byte
	_, err := bpf(unix.BPF_OBJ_GET_INFO_BY_FD, &struct {
		program, size uint32
		info          *byte
	}{uint32(program), uint32(len(info)), &info[0]})
	return unix.ByteSliceToString(info[nameAt:]), err
}

// closeAll closes descriptors.
func closeAll(fds []int) {
	for _, fd := range fds {
		unix.Close(fd)
	}
}
