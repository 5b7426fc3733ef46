// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestParse reads command lines.
func TestParse(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	plain := options{kernel: "/k", memory: "2G", cpus: 2, boot: 3 * time.Minute, timeout: 20 * time.Minute, command: []string{"a", "-v", "b"}}
	cases := map[string]struct {
		args   string
		want   func(*options)
		refuse string
	}{
		"defaults":           {args: "-kernel /k a -v b", want: func(*options) {}},
		"relative":           {args: "-kernel k -share s a -v b", want: func(o *options) { o.kernel, o.share = here+"/k", here+"/s" }},
		"verbose":            {args: "-v -kernel /k a -v b", want: func(o *options) { o.verbose = true }},
		"sizes":              {args: "-kernel /k -cpus 3 -memory 1G -boot 5s -timeout 1m a -v b", want: func(o *options) { o.cpus, o.memory, o.boot, o.timeout = 3, "1G", 5*time.Second, time.Minute }},
		"systemd":            {args: "-kernel /k -systemd i -show /x -show y -user u a -v b", want: func(o *options) { o.systemd, o.show, o.user = here+"/i", []string{"/x", here + "/y"}, "u" }},
		"no kernel":          {args: "a", refuse: "-kernel is missing"},
		"no command":         {args: "-kernel /k", refuse: "no command"},
		"user alone":         {args: "-kernel /k -user u a", refuse: "go with -systemd"},
		"show alone":         {args: "-kernel /k -show /x a", refuse: "go with -systemd"},
		"no processor":       {args: "-kernel /k -cpus 0 a", refuse: "-cpus 0"},
		"no time":            {args: "-kernel /k -timeout 0s a", refuse: "-timeout 0s"},
		"comma in the share": {args: "-kernel /k -share a,readonly=off a", refuse: "comma"},
		"unknown":            {args: "-kernel /k -nothing a", refuse: "-nothing"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := parse(strings.Fields(c.args), io.Discard)
			if c.refuse != "" {
				if err == nil || !strings.Contains(err.Error(), c.refuse) {
					t.Errorf("error %v, want one about %q", err, c.refuse)
				}
				return
			}
			want := plain
			c.want(&want)
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(options{})); err != nil || diff != "" {
				t.Errorf("error %v, -want +got:\n%s", err, diff)
			}
		})
	}
}

// TestArchive unpacks an archive with cpio where that is, and compares one with its bytes everywhere.
func TestArchive(t *testing.T) {
	var a archive
	a.folder("d")
	a.file("d/five", 0o640, []byte("12345"))
	a.character("console", 5, 1)
	got := a.bytes()
	want := "070701" + "00000001" + "000041ED" + strings.Repeat("0", 16) + "00000001" + strings.Repeat("0", 48) + "00000002" + "00000000" + "d\x00" +
		"070701" + "00000002" + "000081A0" + strings.Repeat("0", 16) + "00000001" + "00000000" + "00000005" + strings.Repeat("0", 32) + "00000007" + "00000000" + "d/five\x00" + strings.Repeat("\x00", 3) +
		"12345\x00\x00\x00" +
		"070701" + "00000003" + "00002180" + strings.Repeat("0", 16) + "00000001" + strings.Repeat("0", 32) + "00000005" + "00000001" + "00000008" + "00000000" + "console\x00" + "\x00\x00" +
		"070701" + "00000004" + strings.Repeat("0", 24) + "00000001" + strings.Repeat("0", 48) + "0000000B" + "00000000" + "TRAILER!!!\x00" + strings.Repeat("\x00", 3)
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if len(got)%4 != 0 {
		t.Errorf("%d bytes: not a multiple of four", len(got))
	}
}

// fakeLibrary has modules that need each other as their content says.
func fakeLibrary(t *testing.T) library {
	t.Helper()
	return library{
		paths: map[string]string{
			"overlay": "fs/overlayfs/overlay.ko", "9p": "fs/9p/9p.ko", "9pnet": "net/9p/9pnet.ko", "netfs": "fs/netfs/netfs.ko",
			"a_b": "net/sched/a-b.ko.xz", "lost": "net/lost.ko", "broken": "net/broken.ko",
		},
		builtin: map[string]bool{"crc32c": true},
		read: func(path string) ([]byte, error) {
			needs := map[string]string{"fs/9p/9p.ko": "9pnet,netfs", "net/9p/9pnet.ko": "netfs,crc32c", "net/lost.ko": "gone"}
			if path == "net/broken.ko" {
				return []byte("no ELF"), nil
			}
			return moduleFile("license=GPL\x00depends=" + needs[path] + "\x00name=x\x00"), nil
		},
	}
}

// moduleFile is an ELF file with the section .modinfo and its table of names, signed.
func moduleFile(modinfo string) []byte {
	names := "\x00.modinfo\x00.shstrtab\x00"
	const head, section = 64, 64
	var b bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			binary.Write(&b, binary.LittleEndian, v) // a buffer takes all
		}
	}
	table := uint64(head + len(modinfo) + len(names))
	b.WriteString("\x7fELF\x02\x01\x01" + strings.Repeat("\x00", 9))
	put(uint16(1), uint16(62), uint32(1), uint64(0), uint64(0), table, uint32(0), uint16(head), uint16(0), uint16(0), uint16(section), uint16(3), uint16(2))
	b.WriteString(modinfo + names)
	put([section]byte{})
	put(uint32(1), uint32(1), uint64(2), uint64(0), uint64(head), uint64(len(modinfo)), uint32(0), uint32(0), uint64(1), uint64(0))
	put(uint32(10), uint32(3), uint64(0), uint64(0), uint64(head+len(modinfo)), uint64(len(names)), uint32(0), uint32(0), uint64(1), uint64(0))
	b.WriteString("SIGNATURE")
	b.Write(make([]byte, 8))
	b.Write([]byte{0, 0, 0, 9})
	b.WriteString(signed)
	return b.Bytes()
}

// TestResolve orders modules behind what they need.
func TestResolve(t *testing.T) {
	cases := map[string]struct{ names, want, refuse string }{
		"order":           {names: "9p", want: "netfs.ko 9pnet.ko 9p.ko"},
		"once":            {names: "netfs overlay 9p overlay", want: "netfs.ko overlay.ko 9pnet.ko 9p.ko"},
		"built in":        {names: "crc32c", want: ""},
		"missing":         {names: "ext5", refuse: "no module ext5"},
		"may be missing":  {names: "ext5? overlay?", want: "overlay.ko"},
		"need is missing": {names: "lost", refuse: "no module gone, which lost needs"},
		"pattern":         {names: "fs/*/*.ko", want: "netfs.ko 9pnet.ko 9p.ko overlay.ko"},
		"dash":            {names: "a-b", want: "a_b.ko"},
		"no ELF file":     {names: "broken", refuse: "net/broken.ko"},
		"bad pattern":     {names: "a/[", refuse: "pattern"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			modules, err := fakeLibrary(t).resolve(strings.Fields(c.names))
			if c.refuse != "" {
				if err == nil || !strings.Contains(err.Error(), c.refuse) {
					t.Errorf("error %v, want one about %q", err, c.refuse)
				}
				return
			}
			var got []string
			for _, m := range modules {
				got = append(got, m.name)
				if bytes.Contains(m.data, []byte("SIGNATURE")) || !bytes.Contains(m.data, []byte("depends=")) {
					t.Errorf("%s: the signature is there, or the module is not", m.name)
				}
			}
			if strings.Join(got, " ") != c.want || err != nil {
				t.Errorf("%q, want %q; error %v", got, c.want, err)
			}
		})
	}
}

// TestWords takes comments and line ends out of a list.
func TestWords(t *testing.T) {
	got := words("# all\na b # c\n\n  d?\n")
	if diff := cmp.Diff([]string{"a", "b", "d?"}, got); diff != "" {
		t.Error(diff)
	}
	if len(words(wantedModules)) < 10 {
		t.Errorf("modules.txt names only %q", words(wantedModules))
	}
}

// TestWithoutSignature leaves alone what is not signed, or only looks so.
func TestWithoutSignature(t *testing.T) {
	for name, data := range map[string]string{
		"not signed":   "a module",
		"only marked":  signed,
		"length wrong": "x" + strings.Repeat("\xff", 12) + signed,
	} {
		if got := withoutSignature([]byte(data)); string(got) != data {
			t.Errorf("%s: %q became %q", name, data, got)
		}
	}
}

// TestPayload finds the compressed kernel in an image, and refuses images that lie.
func TestPayload(t *testing.T) {
	image := make([]byte, 4096)
	image[setupSectors] = 3 // the kernel starts at (3 + 1) * 512
	binary.LittleEndian.PutUint32(image[payloadOffset:], 100)
	binary.LittleEndian.PutUint32(image[payloadLength:], 8)
	copy(image[2148:], "PAYLOAD!")
	if got, err := payload(image); err != nil || string(got) != "PAYLOAD!" {
		t.Errorf("%q, %v", got, err)
	}
	binary.LittleEndian.PutUint32(image[payloadLength:], 5000)
	if _, err := payload(image); err == nil {
		t.Error("took a payload behind the end")
	}
	if _, err := payload(image[:100]); err == nil {
		t.Error("took 100 bytes for an image")
	}
}

// TestDecompress unpacks what gzip packed, with a word behind it as in a kernel image, and refuses other things.
func TestDecompress(t *testing.T) {
	pack := func(text string) []byte {
		cmd := exec.Command("gzip", "-c")
		cmd.Stdin = strings.NewReader(text)
		packed, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return packed
	}
	elf := "\x7fELF" + strings.Repeat("kernel", 1000)
	if got, err := decompress(append(pack(elf), 1, 2, 3, 4)); string(got) != elf {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := decompress(pack("text")); err == nil || !strings.Contains(err.Error(), "no ELF file") {
		t.Errorf("text as a kernel: %v", err)
	}
	if _, err := decompress([]byte("BZh91AY")); err == nil || !strings.Contains(err.Error(), "42 5a 68") {
		t.Errorf("unknown compression: %v", err)
	}
}

// TestFindKernel looks for the kernel where packages put it.
func TestFindKernel(t *testing.T) {
	folder := t.TempDir()
	put := func(name string) {
		t.Helper()
		path := filepath.Join(folder, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := findKernel(folder); err == nil || !strings.Contains(err.Error(), "make build/vm/kernel/vmlinux") {
		t.Errorf("in an empty folder: %v", err)
	}
	put("boot/vmlinuz-6.1.0")
	put("lib/modules/6.1.0/modules.builtin")
	for _, image := range []string{"boot/vmlinuz-6.1.0", "vmlinux"} {
		put(image)
		got, err := findKernel(folder)
		want := distribution{filepath.Join(folder, image), filepath.Join(folder, "lib/modules/6.1.0")}
		if got != want || err != nil {
			t.Errorf("%+v, want %+v; %v", got, want, err)
		}
	}
}

// TestOutcome reads what the guest said and the console showed.
func TestOutcome(t *testing.T) {
	const panicked = "[ 1.2] Kernel panic - not syncing: sysrq triggered crash\n"
	cases := map[string]struct {
		lines, console, stopped, qemu string
		final                         bool
		problem, says                 string
		code                          int
		again                         bool
	}{
		"passed":                {lines: "started\nexit 0\n"},
		"failed":                {lines: "started\nexit 1\n", code: 1},
		"killed":                {lines: "started\nexit 137\n", code: 137},
		"ended, then stopped":   {lines: "started\nexit 2\n", stopped: late(time.Second), code: 2},
		"cut off":               {lines: "started\nexit ", problem: "died without an exit status while"},
		"no number":             {lines: "started\nexit one\n", problem: "died without an exit status while"},
		"guest's error":         {lines: "error mount 9p on /host: no such device\n", problem: "mount 9p on /host: no such device"},
		"panic of the boot":     {console: panicked, problem: "panicked before", says: "console: [ 1.2] Kernel panic", again: true},
		"panic of the test":     {lines: "started\n", console: panicked, problem: "panicked while", says: "sysrq triggered"},
		"boot that hangs":       {stopped: hung(time.Minute), problem: "the boot hung: stopped after 1m0s", again: true},
		"stopped boot":          {stopped: "stopped by the signal", final: true, problem: "stopped by the signal before"},
		"test that hangs":       {lines: "started\n", stopped: late(time.Minute), final: true, problem: "while the command ran"},
		"dead before the start": {qemu: "no such machine\nexit code 1\n", problem: "died without an exit status before", says: "QEMU: no such machine", again: true},
		"dead after the start":  {lines: "started\n", problem: "died without an exit status while"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := outcome{console: c.console, stopped: c.stopped, final: c.final, qemu: c.qemu}
			for line := range strings.Lines(c.lines) {
				o.add(line)
			}
			if !strings.Contains(o.problem(), c.problem) || (o.problem() == "") != (c.problem == "") {
				t.Errorf("problem %q, want %q", o.problem(), c.problem)
			}
			if o.code != c.code || o.again() != c.again || !strings.Contains(o.describe(), c.says) {
				t.Errorf("code %d, want %d; again %v, want %v; %s", o.code, c.code, o.again(), c.again, o.describe())
			}
		})
	}
}

// TestLastLines keeps the end, and all of a short text.
func TestLastLines(t *testing.T) {
	if got := lastLines("a\nb\nc\n", 3); got != "b\nc\n" {
		t.Errorf("%q", got)
	}
	if got := lastLines("a\n", 30); got != "a\n" {
		t.Errorf("%q", got)
	}
}

// TestTail keeps the end of a long console.
func TestTail(t *testing.T) {
	var all bytes.Buffer
	end := tail{copy: &all}
	for range 100 {
		end.Write([]byte(strings.Repeat("x", 1000)))
	}
	end.Write([]byte("Kernel panic"))
	if n := end.buffer.Len(); n != consoleKept || !strings.HasSuffix(end.buffer.String(), "xKernel panic") || all.Len() != 100_012 {
		t.Errorf("%d bytes kept, %d copied", n, all.Len())
	}
}

// TestAccelerate uses KVM only where both the processor and the device say so.
func TestAccelerate(t *testing.T) {
	for _, c := range []struct {
		cpuinfo string
		opens   bool
		want    string
	}{{"flags : fpu vmx sse", true, "kvm"}, {"flags : svm", true, "kvm"}, {"flags : fpu avx svmlike", true, "tcg"}, {"flags : vmx", false, "tcg"}} {
		if got := strings.Join(accelerate(c.cpuinfo, c.opens), " "); !strings.Contains(got, "-accel "+c.want) {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// TestMachine looks for what differs between the flavours on QEMU's command line.
func TestMachine(t *testing.T) {
	line := func(o options) string { return strings.Join(o.machine("vmlinux", nil), " ") }
	plain := line(options{memory: "1G", cpus: 2})
	for _, part := range []string{"-smp 2 -m 1G", "path=/,security_model=none,multidevs=remap,readonly=on", "-no-reboot", "panic=-1", "cgroup_no_v1=all", "name=stave.output"} {
		if !strings.Contains(plain, part) {
			t.Errorf("no %q in %s", part, plain)
		}
	}
	if strings.Contains(plain, "snapshot") || strings.Contains(plain, "mount_tag=share") {
		t.Errorf("more than was asked for: %s", plain)
	}
	if got := line(options{systemd: "/i"}); !strings.Contains(got, "snapshot=on,cache=unsafe,file=/i -drive") { // before the scratch disk
		t.Errorf("the image is not the first disk: %s", got)
	}
	if got := line(options{share: "/s"}); !strings.Contains(got, "path=/s,security_model=none,multidevs=remap -device") {
		t.Errorf("no writable share: %s", got)
	}
}

// TestRedirectCoverage changes only the options of coverage.
func TestRedirectCoverage(t *testing.T) {
	command := []string{"t.test", "-test.v", "-test.coverprofile=/a/b.out", "-test.gocoverdir=/a/g", "x"}
	guest, host := redirectCoverage(command)
	want := []string{"t.test", "-test.v", "-test.coverprofile=/scratch/coverage/profile", "-test.gocoverdir=/scratch/coverage", "x"}
	if diff := cmp.Diff(want, guest); diff != "" || host != "/a/b.out" || command[2] != "-test.coverprofile=/a/b.out" {
		t.Errorf("host file %q; -want +got:\n%s", host, diff)
	}
	if _, host := redirectCoverage([]string{"t.test", "-test.coverprofile="}); host != "" {
		t.Errorf("without a name: %q", host)
	}
}

// TestGuestEnvironment leaves out what is true only on the host.
func TestGuestEnvironment(t *testing.T) {
	got := guestEnvironment([]string{"A=1", "TMPDIR=/x", "XDG_RUNTIME_DIR=/run/user/0", "TMPDIRS=y"})
	if diff := cmp.Diff([]string{"A=1", "TMPDIRS=y", "TMPDIR=/scratch/tmp", "GOCOVERDIR=/scratch/coverage"}, got); diff != "" {
		t.Error(diff)
	}
}

// TestShown names no folder twice, none inside another, and never the root.
func TestShown(t *testing.T) {
	got := shown("/tmp/b001/x.test", "/w/cgroups", []string{"/w", "/w2", "/"})
	if diff := cmp.Diff([]string{"/tmp/b001", "/w", "/w2"}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"/w"}, shown("sh", "/w", nil)); diff != "" {
		t.Error(diff)
	}
}

// TestRunArguments keeps systemd from replacing variables in the command, and the variables of a user.
func TestRunArguments(t *testing.T) {
	j := job{Command: []string{"sh", "-c", "echo $$"}, Env: []string{"HOME=/root", "PATH=/x", "STAVE_TIER=vm"}, Folder: "/w"}
	for user, want := range map[string]string{"": " --setenv=HOME=/root --setenv=STAVE_TIER=vm", "tester": " --user --setenv=STAVE_TIER=vm"} {
		j.User = user
		got := strings.Join(runArguments(j), " ")
		if !strings.HasSuffix(got, "--working-directory=/w --setenv="+imagePath+want+" -- sh -c echo $$$$") {
			t.Errorf("user %q: %s", user, got)
		}
	}
}
