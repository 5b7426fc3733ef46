// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"archive/tar"
	"bytes"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// asNobody runs a function as an ordinary user, on a thread that is then thrown away, in a new folder of that user. A stream's own
// goroutines only read memory.
func asNobody(t *testing.T, f func(dir string)) {
	t.Helper()
	dir, err := os.MkdirTemp("", "nobody") // what t.TempDir makes is in a folder of root
	must(t, err)
	defer os.RemoveAll(dir)
	if os.Geteuid() != 0 {
		f(dir)
		return
	}
	const nobody = 65534
	must(t, os.Chown(dir, nobody, nobody))
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		same := ^uintptr(0)
		for _, call := range []uintptr{unix.SYS_SETRESGID, unix.SYS_SETRESUID} { // package unix would do it for all threads
			if _, _, errno := unix.RawSyscall(call, same, nobody, same); errno != 0 {
				t.Error(errno)
				return
			}
		}
		f(dir)
	}()
	<-done
}

// TestOrdinaryUser says what only root may do, or leaves it out where the options allow that.
func TestOrdinaryUser(t *testing.T) {
	trusted := archive(t, entry{name: "a", header: paxRecord("SCHILY.xattr.trusted.a", "b")})
	foreign := archive(t, entry{name: "a", header: func(h *tar.Header) { h.Uid, h.Gid = 3, 4 }})
	for name, c := range map[string]struct {
		data  []byte
		o     Options
		fails string
		told  string
	}{
		"trusted, refused":   {data: trusted, o: Options{SkipOwners: true}, fails: `layer entry "a": set extended attribute "trusted.a": operation not permitted`},
		"trusted, left out":  {data: trusted, o: owned(), told: `a: extended attribute "trusted.a": operation not permitted`},
		"owner, refused":     {data: foreign, o: Options{UserXattr: true}, fails: `layer entry "a": chown to 3:4: operation not permitted: be root, or in a user namespace`},
		"owner, left out":    {data: foreign, o: owned()},
		"owner out of range": {data: foreign, o: Options{UIDs: []Range{{0, 1000, 3}}}, fails: `owner 3 is in none of the ranges`},
	} {
		t.Run(name, func(t *testing.T) {
			asNobody(t, func(dir string) {
				var told string
				c.o.Notice = func(path, why string) { told = path + ": " + why }
				_, err := Unpack(t.Context(), dir, bytes.NewReader(c.data), c.o)
				if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
					t.Errorf("error %v, want %q", err, c.fails)
				}
				if told != c.told {
					t.Errorf("told %q, want %q", told, c.told)
				}
			})
		})
	}
}
