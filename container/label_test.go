// SPDX-License-Identifier: Apache-2.0

package container

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/chroot"
)

// TestMountLabel plans a label on a made-up machine with SELinux: the container's own file systems get it, others don't.
func TestMountLabel(t *testing.T) {
	const label = "system_u:object_r:container_file_t:s0:c1,c2"
	spec := Example()
	spec.Linux.MountLabel = label
	spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/data", Type: "bind", Source: "/srv", Options: []string{"rbind"}})
	facts := madeUp()
	facts.Security.SELinux = true
	program, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, facts, Options{ID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	labelled := map[string]bool{}
	for _, call := range program.Container {
		if m, ok := call.Request.(chroot.Mount); ok {
			labelled[m.Target] = strings.Contains(m.Data, `context="`+label+`"`)
		}
		if l, ok := call.Request.(SetLabel); ok {
			labelled[l.Path] = l.Label == label
		}
	}
	for target, want := range map[string]bool{
		"/proc": false, "/dev": true, "/dev/pts": true, "/dev/shm": true, "/dev/mqueue": true, "/sys": false,
	} {
		if got, mounted := labelled[target]; got != want || !mounted {
			t.Errorf("%s is labelled: %v, mounted: %v", target, got, mounted)
		}
	}
	if index(words(program), "label /dev/mqueue") < index(words(program), "mount mqueue") {
		t.Error("mqueue is labelled before it is mounted")
	}
}

// TestMountLabelRefused refuses a label that would be more than a label.
func TestMountLabelRefused(t *testing.T) {
	spec, f := Example(), madeUp()
	spec.Linux.MountLabel, f.Security.SELinux = "a:b:c\",exec,x=\"", true
	if _, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, f, Options{ID: "c"}); err == nil || !strings.HasPrefix(err.Error(), "linux.mountLabel") {
		t.Errorf("the error is %v", err)
	}
}

// TestMountLabelMeansNothing plans a label for a kernel without SELinux: the program is that without it, and it is told.
func TestMountLabelMeansNothing(t *testing.T) {
	spec, f, told := Example(), madeUp(), ""
	f.Security.SELinux = false
	plain, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, f, Options{ID: "c"})
	if err != nil {
		t.Fatal(err)
	}
	spec.Linux.MountLabel = "a:b:c:s0"
	program, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, f, Options{ID: "c", Notice: func(text string) { told = text }})
	if err != nil || !strings.HasPrefix(told, "linux.mountLabel") {
		t.Errorf("%v, told %q", err, told)
	}
	if diff := cmp.Diff(words(plain), words(program)); diff != "" {
		t.Errorf("-without +with:\n%s", diff)
	}
}
