// SPDX-License-Identifier: Apache-2.0

package security

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// docker is Docker's default profile for the default capabilities.
func docker(t testing.TB) *specs.LinuxSeccomp {
	t.Helper()
	spec := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: DefaultCapabilities()}}}
	profile, err := DefaultSeccomp(spec)
	if err != nil {
		t.Fatal(err)
	}
	return profile
}

// profiles are small profiles that have each feature of the compiler.
func profiles() map[string]*specs.LinuxSeccomp {
	arg := func(index uint, op specs.LinuxSeccompOperator, values ...uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: index, Op: op, Value: values[0], ValueTwo: append(values, 0)[1]}
	}
	call := func(action specs.LinuxSeccompAction, names string, args ...specs.LinuxSeccompArg) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: strings.Fields(names), Action: action, Args: args}
	}
	both := []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}
	list := map[string]*specs.LinuxSeccomp{
		"nothing but a default": {DefaultAction: specs.ActKillProcess},
		"deny two": {DefaultAction: specs.ActAllow, Architectures: both, Syscalls: []specs.LinuxSyscall{
			call(specs.ActErrno, "getcwd socket no_such_call mkdir"),
		}},
		"allow some": {DefaultAction: specs.ActErrno, Architectures: both, Syscalls: []specs.LinuxSyscall{
			call(specs.ActAllow, "read write close fstat execve exit_group semop socketcall connect"),
		}},
		"order": {DefaultAction: specs.ActErrno, DefaultErrnoRet: new(uint(13)), Syscalls: []specs.LinuxSyscall{
			call(specs.ActTrap, "personality", arg(0, specs.OpEqualTo, 8)),
			call(specs.ActLog, "personality", arg(0, specs.OpLessThan, 100)),
			call(specs.ActAllow, "personality"),
			call(specs.ActKillThread, "personality", arg(0, specs.OpEqualTo, 200)),
		}},
		"and": {DefaultAction: specs.ActTrace, Syscalls: []specs.LinuxSyscall{
			call(specs.ActAllow, "mmap", arg(2, specs.OpMaskedEqual, 6, 2), arg(1, specs.OpGreaterThan, 1<<32+5), arg(5, specs.OpNotEqual, 7)),
		}},
		"or": {DefaultAction: specs.ActAllow, Architectures: both, Syscalls: []specs.LinuxSyscall{
			call(specs.ActKill, "clone", arg(0, specs.OpEqualTo, 3), arg(0, specs.OpEqualTo, 1<<40), arg(1, specs.OpGreaterEqual, 1<<33)),
		}},
		"impossible": {DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
			call(specs.ActErrno, "clone", arg(0, specs.OpMaskedEqual, 1, 2)),
			call(specs.ActErrno, "fork", arg(0, specs.OpMaskedEqual, 0, 0)),
			call(specs.ActErrno, "vfork", arg(0, specs.OpMaskedEqual, 1<<33, 1<<33)),
		}},
	}
	operators := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: both}
	names := strings.Fields("read write open close stat fstat lstat poll lseek mmap mprotect munmap brk")
	for i, op := range []specs.LinuxSeccompOperator{specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual, specs.OpGreaterThan} {
		operators.Syscalls = append(operators.Syscalls, call(specs.ActAllow, names[2*i], arg(uint(i), op, 1<<32+7)), call(specs.ActAllow, names[2*i+1], arg(uint(i), op, 7)))
	}
	list["operators"] = operators
	far := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Architectures: both}
	for i := range uint64(300) {
		far.Syscalls = append(far.Syscalls, specs.LinuxSyscall{Names: []string{"ioctl"}, Action: specs.ActErrno, ErrnoRet: new(uint(i)), Args: []specs.LinuxSeccompArg{arg(1, specs.OpEqualTo, i<<30)}})
	}
	far.Syscalls = append(far.Syscalls, call(specs.ActAllow, "read sendto execve"))
	list["far"] = far
	return list
}

// attempts makes random calls near the values that a profile names.
func attempts(p *specs.LinuxSeccomp, random *rand.Rand, n int) []attempt {
	values := []uint64{0, 1, 1 << 32, 1<<64 - 1, 0xffffffff}
	for _, call := range p.Syscalls {
		for _, c := range call.Args {
			values = append(values, c.Value, c.ValueTwo, c.Value+1, c.Value-1, c.Value^1<<32)
		}
	}
	audits := []uint32{0xc000003e, 0xc000003e, 0x40000003, 0xc00000b7, 0x40000028, 0}
	list := make([]attempt, n)
	for i := range list {
		d := attempt{number: random.Uint32N(480), audit: audits[random.IntN(len(audits))]}
		switch random.IntN(20) {
		case 0:
			d.number = random.Uint32()
		case 1:
			d.number |= 0x40000000
		case 2:
			d.number = 0xf0000 + random.Uint32N(8)
		}
		for j := range d.args {
			d.args[j] = values[random.IntN(len(values))]
			if random.IntN(4) == 0 {
				d.args[j] = random.Uint64() >> random.IntN(64)
			}
		}
		list[i] = d
	}
	return list
}

// agree compiles a profile and holds the filter against judge.
func agree(t *testing.T, p *specs.LinuxSeccomp, goarch string, f *Filter, seed uint64, n int) {
	t.Helper()
	if testing.Short() { // as on an emulated processor
		n /= 20
	}
	for _, d := range attempts(p, rand.New(rand.NewPCG(seed, 1)), n) {
		got, _, err := interpret(f.Program, d)
		if want := judge(p, goarch, d); err != nil || got != want {
			t.Fatalf("%s %+v: the filter says %s (%v), the profile says %s", goarch, d, describe(got), err, describe(want))
		}
	}
}

func TestFilterAgreesWithProfile(t *testing.T) {
	all := profiles()
	all["docker"] = docker(t)
	for name, p := range all {
		t.Run(name, func(t *testing.T) {
			f, err := Compile(p, "amd64")
			if err != nil {
				t.Fatal(err)
			}
			agree(t, p, "amd64", f, 1, 20_000)
			for number := range uint32(500) { // every number, both ABIs
				for _, audit := range []uint32{0xc000003e, 0x40000003} {
					d := attempt{number: number, audit: audit}
					if got, _, _ := interpret(f.Program, d); got != judge(p, "amd64", d) {
						t.Errorf("%+v: the filter says %s, the profile says %s", d, describe(got), describe(judge(p, "amd64", d)))
					}
				}
			}
		})
	}
	p := docker(t)
	p.Architectures = []specs.Arch{specs.ArchAARCH64, specs.ArchARM}
	f, err := Compile(p, "arm64")
	if err != nil {
		t.Fatal(err)
	}
	agree(t, p, "arm64", f, 2, 20_000)
}

// TestLongJumps lets the search jump over blocks of every size around the reach of a conditional jump.
func TestLongJumps(t *testing.T) {
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActErrno, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"read"}, Action: specs.ActAllow},
		{Names: []string{"execve"}, Action: specs.ActAllow, Args: []specs.LinuxSeccompArg{{Index: 0, Value: 1, Op: specs.OpEqualTo}}},
	}}
	for i := range uint(160) {
		p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{
			Names: []string{"ioctl"}, Action: specs.ActErrno, ErrnoRet: new(100 + i%3),
			Args: []specs.LinuxSeccompArg{{Index: 1, Value: uint64(i), Op: []specs.LinuxSeccompOperator{specs.OpEqualTo, specs.OpMaskedEqual}[i%2]}},
		})
		f, err := Compile(p, "amd64")
		if err != nil {
			t.Fatal(err)
		}
		for _, number := range []uint32{0, 1, 15, 16, 17, 58, 59, 60, 0x40000000} {
			for _, value := range []uint64{0, 1, uint64(i), uint64(i) + 1, 1 << 40} {
				d := attempt{number: number, audit: 0xc000003e, args: [6]uint64{value, value}}
				if got, _, err := interpret(f.Program, d); err != nil || got != judge(p, "amd64", d) {
					t.Fatalf("%d rules, %+v: the filter says %s (%v), the profile says %s", i+1, d, describe(got), err, describe(judge(p, "amd64", d)))
				}
			}
		}
	}
}

// TestCommonCallsAreCheap counts the instructions that Docker's profile costs.
func TestCommonCallsAreCheap(t *testing.T) {
	f, err := Compile(docker(t), "amd64")
	if err != nil {
		t.Fatal(err)
	}
	for name, number := range syscallNumbers(0) {
		_, steps, err := interpret(f.Program, attempt{number: number, audit: 0xc000003e})
		if err != nil || steps > 16 {
			t.Errorf("%s costs %d instructions (%v), want at most 16", name, steps, err)
		}
	}
	if len(f.Program) > 400 {
		t.Errorf("the profile has %d instructions, want at most 400", len(f.Program))
	}
}

func TestExplainGolden(t *testing.T) {
	for name, p := range profiles() {
		if name == "far" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			f, err := Compile(p, "amd64")
			if err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", strings.ReplaceAll(name, " ", "-")+".bpf")
			if *update {
				if err := os.WriteFile(path, []byte(f.Explain()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), f.Explain()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestCompileErrors(t *testing.T) {
	base := `"defaultAction":"SCMP_ACT_ALLOW",`
	for name, c := range map[string]struct{ profile, want string }{
		"no action":        {`{}`, `default action: unknown action ""`},
		"action":           {`{"defaultAction":"SCMP_ACT_MAYBE"}`, `unknown action "SCMP_ACT_MAYBE"`},
		"default notify":   {`{"defaultAction":"SCMP_ACT_NOTIFY","listenerPath":"/x"}`, "can't be the default"},
		"errno of allow":   {`{"defaultAction":"SCMP_ACT_ALLOW","defaultErrnoRet":1}`, "takes no errno, but 1"},
		"errno too large":  {`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}`, "errno 4096 is above 4095"},
		"architecture":     {`{` + base + `"architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_S390X"]}`, "SCMP_ARCH_S390X: this machine (SCMP_ARCH_X86_64) can't"},
		"flag":             {`{` + base + `"flags":["SECCOMP_FILTER_FLAG_FAST"]}`, `unknown flag "SECCOMP_FILTER_FLAG_FAST"`},
		"operator":         {`{` + base + `"syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":1,"op":"SCMP_CMP_ODD"}]}]}`, `rule 0 for [read]: argument 1: unknown operator "SCMP_CMP_ODD"`},
		"argument":         {`{` + base + `"syscalls":[{"names":["read"],"action":"SCMP_ACT_LOG","args":[{"index":6,"op":"SCMP_CMP_EQ"}]}]}`, "argument 6"},
		"no names":         {`{` + base + `"syscalls":[{"action":"SCMP_ACT_LOG"}]}`, "rule 0 names no system call"},
		"action of a rule": {`{` + base + `"syscalls":[{"names":["read"],"action":"x"}]}`, `rule 0 for [read]: unknown action "x"`},
		"notify write":     {`{` + base + `"listenerPath":"/x","syscalls":[{"names":["write"],"action":"SCMP_ACT_NOTIFY"}]}`, "can't be used for write"},
		"notify sendmsg":   {`{` + base + `"listenerPath":"/x","syscalls":[{"names":["sendmsg"],"action":"SCMP_ACT_NOTIFY"}]}`, "can't be used for sendmsg"},
		"no listener":      {`{` + base + `"syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_NOTIFY"}]}`, "needs a listenerPath"},
	} {
		t.Run(name, func(t *testing.T) {
			var p specs.LinuxSeccomp
			if err := json.Unmarshal([]byte(c.profile), &p); err != nil {
				t.Fatal(err)
			}
			if _, err := Compile(&p, "amd64"); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want %q", err, c.want)
			}
		})
	}
	if _, err := Compile(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow}, "riscv64"); err == nil || !strings.Contains(err.Error(), "riscv64") {
		t.Errorf("riscv64: error is %v", err)
	}
	large := &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	for i := range uint64(1000) {
		large.Syscalls = append(large.Syscalls, specs.LinuxSyscall{Names: []string{"ioctl"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 1, Value: i, Op: specs.OpEqualTo}, {Index: 2, Value: i, Op: specs.OpEqualTo}}})
	}
	if _, err := Compile(large, "amd64"); err == nil || !strings.Contains(err.Error(), "the kernel takes 4096") {
		t.Errorf("large: error is %v", err)
	}
}

func TestFlags(t *testing.T) {
	for name, c := range map[string]struct {
		flags   []specs.LinuxSeccompFlag
		listens bool
		want    uint32
	}{
		"unsaid":       {nil, false, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		"none":         {[]specs.LinuxSeccompFlag{}, false, 0},
		"two":          {[]specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"}, false, 3},
		"listens":      {[]specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_TSYNC"}, true, 1 | 8 | 16},
		"killable":     {[]specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}, true, 8 | 32},
		"without need": {[]specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}, false, 0},
	} {
		if got, err := parseFlags(c.flags, c.listens); err != nil || got != c.want {
			t.Errorf("%s: %#x (%v), want %#x", name, got, err, c.want)
		}
	}
}

// FuzzCompile compiles any JSON: it must not panic, and what compiles must mean what the profile says.
func FuzzCompile(f *testing.F) {
	for _, p := range profiles() {
		text, err := json.Marshal(p)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), uint64(1))
	}
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		var p specs.LinuxSeccomp
		if json.Unmarshal([]byte(text), &p) != nil {
			return
		}
		if filter, err := Compile(&p, "amd64"); err == nil {
			agree(t, &p, "amd64", filter, seed, 200)
		}
	})
}

func BenchmarkCompileDocker(b *testing.B) {
	p := docker(b)
	for b.Loop() {
		if _, err := Compile(p, "amd64"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDefaultProfile(b *testing.B) {
	for b.Loop() {
		docker(b)
	}
}

func ExampleFilter_Explain() {
	profile := &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Syscalls:      []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}},
	}
	f, err := Compile(profile, "amd64")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print("filter:\n" + f.Explain())
	// Output:
	// filter:
	//    0  load architecture
	//    1  if == SCMP_ARCH_X86_64 goto 2 else 9
	//    2  load number
	//    3  if >= 84 goto 6 else 4
	//    4  if >= 83 goto 5 else 7
	//    5  return errno 1
	//    6  if >= 0x40000000 goto 8 else 7
	//    7  return allow
	//    8  return errno 38
	//    9  return kill process
}
