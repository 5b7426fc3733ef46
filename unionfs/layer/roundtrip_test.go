// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// capability is a value of security.capability: version 2, cap_net_raw effective and permitted.
const capability = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// acl is an access control list: rwx for the owner, rw- for user 1234, r-x for the group, rwx as mask, r-- for others.
const acl = "\x02\x00\x00\x00" +
	"\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x06\x00\xd2\x04\x00\x00" + "\x04\x00\x05\x00\xff\xff\xff\xff" +
	"\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x04\x00\xff\xff\xff\xff"

// everything makes a tree with files of all kinds and all that they can have.
func everything(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"empty", "sub/deeper", "locked", "acls", strings.Repeat("long", 60)} {
		must(t, os.MkdirAll(at(name), 0o755))
	}
	write(t, at("file"), "content")
	write(t, at("sub/big"), strings.Repeat("0123456789abcdef", 100_000))
	write(t, at("sub/none"), "")
	write(t, at("sub/caps"), "program")
	write(t, at("sub/suid"), "program")
	write(t, at("locked/in"), "secret")
	write(t, at("acls/in"), "listed")
	write(t, at("bytes \xff\n\" ü"), "odd name")
	write(t, at(strings.Repeat("long", 60)+"/"+strings.Repeat("name", 50)), "long name")
	must(t, os.Truncate(at("sub/none"), 3<<20))
	must(t, os.Symlink("../no where", at("sub/link")))
	must(t, os.Symlink("/"+strings.Repeat("far/", 200), at("sub/far")))
	must(t, os.Link(at("file"), at("sub/deeper/second")))
	must(t, os.Link(at("file"), at("third")))
	must(t, os.Link(at("sub/link"), at("sub/linked link")))
	must(t, unix.Mkfifo(at("fifo"), 0o640))
	must(t, unix.Mknod(at("char"), unix.S_IFCHR|0o620, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(at("block"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 300_000))))
	must(t, os.Link(at("char"), at("char again")))

	must(t, os.Lchown(at("sub/link"), 12, 34))
	must(t, os.Lchown(at("sub/suid"), 1000, 3_000_000_000))
	must(t, unix.Chmod(at("sub/suid"), 0o6755))
	must(t, unix.Lsetxattr(at("sub/caps"), "security.capability", []byte(capability), 0))
	must(t, unix.Lsetxattr(at("sub/caps"), "user.binary", []byte("\x00\n=\xff"), 0))
	must(t, unix.Lsetxattr(at("sub/caps"), "user.a=b%3D", []byte("odd name"), 0))
	must(t, unix.Lsetxattr(at("sub/caps"), "user.empty", nil, 0))
	must(t, unix.Lsetxattr(at("sub/far"), "trusted.link", []byte("of a link"), 0))
	must(t, unix.Lsetxattr(at("char"), "trusted.device", []byte("of a device"), 0))
	must(t, unix.Lsetxattr(at("sub"), "user.dir", []byte("of a directory"), 0))
	must(t, unix.Lsetxattr(at("acls/in"), aclPrefix+"access", []byte(acl), 0))
	must(t, unix.Lsetxattr(at("acls"), aclPrefix+"default", []byte(acl), 0))

	for i, name := range []string{"file", "sub/link", "fifo", "char", "locked/in", "empty", "acls", "sub/deeper", "sub"} {
		when := unix.Timespec{Sec: int64(1_000_000_000 + i), Nsec: int64(123_456_789 + i)}
		if i == 1 {
			when = unix.Timespec{Sec: -86400, Nsec: 1} // 1969
		}
		must(t, unix.UtimesNanoAt(unix.AT_FDCWD, at(name), []unix.Timespec{when, when}, unix.AT_SYMLINK_NOFOLLOW))
	}
	must(t, unix.Chmod(at("locked"), 0o3500))
	return dir
}

// TestRoundTrip packs a tree with everything, unpacks it, and asks the kernel for the difference.
func TestRoundTrip(t *testing.T) {
	witness.Need(t, "root")
	dir := everything(t)
	want := manifest(t, dir)
	packed := pack(t, dir, Options{})
	unpacked, result := unpack(t, packed, Options{})
	if diff := cmp.Diff(want, manifest(t, unpacked)); diff != "" {
		t.Errorf("unpacked (-packed +unpacked):\n%s", diff)
	}
	if got := digest.FromBytes(packed); got != result.DiffID {
		t.Errorf("diff ID %s, of the bytes %s", result.DiffID, got)
	}
	if again := pack(t, unpacked, Options{}); !bytes.Equal(packed, again) {
		t.Error("packed again, the bytes are others")
	}
	if !slices.Equal(result.Implicit, []string{""}) {
		t.Errorf("implicit directories %q", result.Implicit)
	}
}

// TestHoles keeps the size and the holes of a sparse file.
func TestHoles(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "f"))
	must(t, err)
	defer f.Close()
	must(t, f.Truncate(64<<20))
	_, err = f.WriteAt([]byte("data"), 33<<20)
	must(t, err)
	must(t, os.Chtimes(f.Name(), time.Unix(1e9, 0), time.Unix(1e9, 0))) // the old format has no more
	for _, format := range []string{"gnu", "posix --sparse-version=0.0", "posix --sparse-version=0.1", "posix --sparse-version=1.0"} {
		t.Run(format, func(t *testing.T) {
			data := gnuTar(t, dir, append([]string{"--sparse", "--format"}, strings.Fields(format)...)...)
			if len(data) > 1<<20 {
				t.Fatalf("the archive is not sparse: %d bytes", len(data))
			}
			unpacked, result := unpack(t, data, Options{SkipOwners: true})
			var s unix.Stat_t
			must(t, unix.Stat(filepath.Join(unpacked, "f"), &s))
			if s.Size != 64<<20 || s.Blocks > 2048 {
				t.Errorf("size %d in %d blocks", s.Size, s.Blocks)
			}
			if got, want := manifest(t, unpacked)["f"], manifest(t, dir)["f"]; got != want {
				t.Errorf("unpacked %s, packed %s", got, want)
			}
			if result.Bytes != 64<<20 {
				t.Errorf("%d bytes", result.Bytes)
			}
		})
	}
}

// TestShift packs and unpacks with the numbers of a user namespace.
func TestShift(t *testing.T) {
	witness.Need(t, "root")
	shift := Options{
		UIDs: []Range{{0, 100_000, 1000}, {1000, 500_000, 10_000}},
		GIDs: []Range{{0, 200_000, 65_536}},
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a/f"), "x")
	must(t, os.Chown(filepath.Join(dir, "a/f"), 1001, 7))
	must(t, unix.Lsetxattr(filepath.Join(dir, "a/f"), aclPrefix+"access", []byte(acl), 0))
	packed := pack(t, dir, Options{})
	shifted, _ := unpack(t, packed, shift)
	var s unix.Stat_t
	must(t, unix.Stat(filepath.Join(shifted, "a/f"), &s))
	if s.Uid != 500_001 || s.Gid != 200_007 {
		t.Errorf("owner %d:%d on disk", s.Uid, s.Gid)
	}
	value := make([]byte, 100)
	n, err := unix.Lgetxattr(filepath.Join(shifted, "a/f"), aclPrefix+"access", value)
	must(t, err)
	if want := strings.Replace(acl, "\xd2\x04\x00\x00", "\x0a\xa2\x07\x00", 1); string(value[:n]) != want { // 500234
		t.Errorf("access control list %x, want %x", value[:n], want)
	}
	if back := pack(t, shifted, shift); !bytes.Equal(packed, back) {
		t.Error("shifted there and back, the bytes are others")
	}
	must(t, os.Chown(filepath.Join(shifted, "a/f"), 5, 5))
	err = Pack(t.Context(), &bytes.Buffer{}, shifted, shift)
	if err == nil || !strings.Contains(err.Error(), `"/a/f": user: owner 5 is in none`) {
		t.Errorf("packed an owner outside the ranges: %v", err)
	}
}
