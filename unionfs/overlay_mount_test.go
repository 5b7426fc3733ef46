// SPDX-License-Identifier: Apache-2.0

package unionfs_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stave/internal/witness"
	"stave/unionfs"
	"stave/unionfs/drivertest"
)

// ExampleOverlayMount shows one mount as explain prints it, and as a script does it.
func ExampleOverlayMount() {
	m := unionfs.OverlayMount{
		Lower: []string{"/layers/base", "/layers/app"}, Upper: "/c/diff", Work: "/c/work", Target: "/c/merged",
		Options: []string{"index=off", "volatile"},
	}
	fmt.Println(m)
	fmt.Println(m.Shell())
	m.Dir, m.Lower, m.Upper, m.Work = "/c/layers", []string{"0", "1"}, "../diff", "../work"
	fmt.Println(m.Shell())
	m.Upper, m.Work = "", ""
	fmt.Println(m)
	// Output:
	// mount an overlay of 2 layers and a writable one on /c/merged
	// mount -t overlay -o lowerdir=/layers/app:/layers/base,upperdir=/c/diff,workdir=/c/work,index=off,volatile overlay "$root"
	// (cd /c/layers && mount -t overlay -o lowerdir=1:0,upperdir=../diff,workdir=../work,index=off,volatile overlay "$root")
	// mount an overlay of 2 layers on /c/merged, read-only
}

// prepared makes a stack of two layers, in a folder with a name, and prepares it.
func prepared(t *testing.T, name string, change func(*unionfs.Stack)) (unionfs.Stack, unionfs.Root) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	s := unionfs.Stack{Dir: filepath.Join(dir, "container")}
	if err := os.MkdirAll(s.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.Layers = manyLayers(t, dir, 2)
	if change != nil {
		change(&s)
	}
	root, err := unionfs.Overlay{}.Prepare(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	return s, root
}

// TestRunning looks at a container that runs through a mount that only reads, also where that is made by mount(2).
func TestRunning(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay")
	for _, name := range []string{"plain", `a,b:c\d`} {
		t.Run(name, func(t *testing.T) {
			s, root := prepared(t, name, nil)
			mounted, _ := drivertest.Mounted(t, root)
			if err := os.WriteFile(filepath.Join(mounted, "same"), []byte("written"), 0o644); err != nil {
				t.Fatal(err)
			}
			upper, _ := unionfs.Overlay{}.Upper(s)
			s.Layers, s.ReadOnly = append(s.Layers, upper), true
			view, done, err := unionfs.Overlay{}.View(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			defer done()
			for file, want := range map[string]string{"same": "written", "own0": "0", "own1": "1"} {
				if got, err := os.ReadFile(filepath.Join(view, file)); string(got) != want {
					t.Errorf("%s is %q, %v", file, got, err)
				}
			}
		})
	}
}

// TestShell lets a shell do what the calls do.
func TestShell(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay", "command:unshare")
	for _, name := range []string{"plain", `a,b:c'd"e f\g`} {
		for _, readOnly := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, read-only %v", name, readOnly), func(t *testing.T) {
				_, root := prepared(t, name, func(s *unionfs.Stack) { s.ReadOnly = readOnly })
				script := root.Calls[0].Shell() + ` && ls "$root" && touch "$root"/new`
				shell := exec.Command("unshare", "--mount", "sh", "-c", script)
				shell.Env = append(os.Environ(), "root="+root.Path)
				output, err := shell.CombinedOutput()
				if (err != nil) != readOnly || !strings.Contains(string(output), "own0\nown1\nsame\n") {
					t.Errorf("%s: %v\n%s", script, err, output)
				}
				if readOnly && !strings.Contains(string(output), "Read-only file system") {
					t.Errorf("written to: %s", output)
				}
			})
		}
	}
}

// TestMountOptions looks at the options in the kernel's list of mounts.
func TestMountOptions(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay")
	for name, c := range map[string]struct {
		driver     unionfs.Overlay
		change     func(*unionfs.Stack)
		want, none []string
	}{
		"usual":     {want: []string{"rw", "redirect_dir=nofollow", "upperdir"}, none: []string{"index=on", "metacopy=on", "volatile", "userxattr", "nfs_export=on"}},
		"volatile":  {change: func(s *unionfs.Stack) { s.Volatile = true }, want: []string{"volatile"}},
		"read-only": {change: func(s *unionfs.Stack) { s.ReadOnly, s.Volatile = true, true }, want: []string{"ro"}, none: []string{"rw", "upperdir", "volatile"}},
		"metacopy":  {driver: unionfs.Overlay{Metacopy: true}, want: []string{"metacopy=on", "redirect_dir=on"}},
		"user":      {driver: unionfs.Overlay{UserXattr: true}, want: []string{"userxattr"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, _ := prepared(t, "", c.change)
			root, err := c.driver.Prepare(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			mounted, _ := drivertest.Mounted(t, root)
			got := optionsOf(t, strings.Split(mounted, "/")[2], root.Path)
			for _, option := range c.want {
				if !slices.Contains(got, option) {
					t.Errorf("%s is missing: %v", option, got)
				}
			}
			for _, option := range c.none {
				if slices.Contains(got, option) {
					t.Errorf("%s is set: %v", option, got)
				}
			}
		})
	}
}

// optionsOf are the options of the overlay that is mounted somewhere in a process's mount namespace, those with a path without it.
func optionsOf(t *testing.T, pid, point string) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/" + pid + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		// 36 35 98:0 / /point rw,noatime master:1 - overlay overlay rw,lowerdir=/a:/b
		fields := strings.Fields(line)
		if len(fields) < 10 || fields[4] != point {
			continue
		}
		var options []string
		for option := range strings.SplitSeq(fields[5]+","+fields[len(fields)-1], ",") {
			if name, value, _ := strings.Cut(option, "="); strings.HasPrefix(value, "/") || strings.HasPrefix(value, "../") {
				option = name
			}
			if option == "fsync=volatile" { // its newer name
				option = "volatile"
			}
			options = append(options, option)
		}
		return options
	}
	t.Fatalf("nothing is mounted on %s:\n%s", point, text)
	return nil
}

// TestVolatileCrash refuses a volatile container after the machine went down while it was mounted, and only then.
func TestVolatileCrash(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay")
	s, root := prepared(t, "", func(s *unionfs.Stack) { s.Volatile = true })
	note := filepath.Join(s.Dir, "volatile")
	if err := os.WriteFile(note, []byte("an earlier boot"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (unionfs.Overlay{}).Prepare(t.Context(), s); err != nil {
		t.Errorf("it was not mounted: %v", err)
	}
	_, done, err := unionfs.Overlay{}.View(t.Context(), s) // which leaves the container ready to start
	if err != nil {
		t.Fatal(err)
	}
	if err := done(); err != nil {
		t.Fatal(err)
	}
	_, unmount := drivertest.Mounted(t, root)
	unmount()
	if err := os.WriteFile(note, []byte("an earlier boot"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = unionfs.Overlay{}.Prepare(t.Context(), s)
	if err == nil || !strings.Contains(err.Error(), s.Dir+" is volatile") {
		t.Errorf("error %v", err)
	}
	if err := (unionfs.Overlay{}).Remove(t.Context(), s); err != nil {
		t.Error(err)
	}
}

// TestOtherLayers refuses to put what was written on one image on another one.
func TestOtherLayers(t *testing.T) {
	s, _ := prepared(t, "", nil)
	for name, change := range map[string]func(*unionfs.Stack){
		"fewer": func(s *unionfs.Stack) { s.Layers = s.Layers[:1] },
		"other": func(s *unionfs.Stack) { s.Layers = []unionfs.Layer{s.Layers[1], s.Layers[0]} },
		"many":  func(s *unionfs.Stack) { s.Layers = make([]unionfs.Layer, 501) },
	} {
		other := s
		change(&other)
		if _, err := (unionfs.Overlay{}).Prepare(t.Context(), other); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestReported reads why the kernel refused an overlay that a container's process mounted.
func TestReported(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay")
	s, root := prepared(t, "", nil)
	if err := os.Rename(s.Layers[1].Path, s.Layers[1].Path+"x"); err != nil {
		t.Fatal(err)
	}
	m, ok := root.Calls[0].Request.(unionfs.OverlayMount)
	if !ok {
		t.Fatalf("the call is %T", root.Calls[0].Request)
	}
	err := m.Report(nil, os.ErrInvalid)
	// Mounted layer by layer, the error names the layer; with all in one line, the container's folder.
	if err == nil || !strings.Contains(err.Error(), "no such file or directory") ||
		!strings.Contains(err.Error(), "lowerdir+="+s.Layers[1].Path) && !strings.Contains(err.Error(), s.Dir) {
		t.Errorf("error %v", err)
	}
}

// TestChainIDs computes the example of the specification's text: each names all below.
func TestChainIDs(t *testing.T) {
	i := newImage([]byte("a"), []byte("b"), []byte("c"))
	want := []string{ // echo -n "sha256:… sha256:…" | sha256sum
		"sha256:ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
		"sha256:51c0c8ace48498d6f5fee6b0592cc06f2da0f3cbe09c5a34a97dce85c3889676",
	}
	got := []string{i.chain[0].String(), i.chain[1].String()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(unionfs.ChainIDs(nil)) != 0 {
		t.Error("no layers have a chain")
	}
}
