// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stave/internal/witness"
)

// changes are what is done to a Debian, one layer each.
func changes() []string {
	return []string{
		"rm -r /usr/share/doc/*; mkdir -p /srv/data; echo one >/srv/data/file",
		"dpkg-divert --local --rename --add /usr/bin/perl; echo two >/srv/data/file; ln /srv/data/file /srv/linked",
		"rm -r /srv/data; echo now a file >/srv/data; useradd --create-home ann; chmod 4755 /usr/bin/id",
		"rm /srv/data; mkdir /srv/data; touch /srv/data/new; mv /usr/share/zoneinfo /usr/share/zones 2>/dev/null; chown ann /srv/linked",
		"rm -r /usr/share/locale; mkdir /usr/share/locale; apt-get --version >/srv/version; truncate -s 5M /srv/sparse",
	}
}

// TestDebian makes an image of six layers of a Debian: the root file system that debootstrap made, and five changes, each committed. A
// container of it has the same files as a folder where the same was done.
func TestDebian(t *testing.T) {
	witness.Need(t, "root", "filesystem:overlay")
	made, err := filepath.Abs("../../build/debian")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(made); err != nil {
		t.Skip("there is no Debian in build/debian: the tests of cmd/stave make it")
	}
	dir := memory(t, "4g")
	state, plain, archive := filepath.Join(dir, "state"), filepath.Join(dir, "plain"), filepath.Join(dir, "debian.tar")
	must(t, exec.Command("cp", "-a", made, plain))
	for _, large := range []string{"usr/share/locale/[a-df-z]*", "var/cache/apt/*", "var/lib/apt/lists/*"} { // half of all bytes
		must(t, exec.Command("sh", "-c", "rm -r "+plain+"/"+large))
	}
	must(t, exec.Command("tar", "-C", plain, "--numeric-owner", "--xattrs", "-cf", archive, "."))
	must(t, stave(state, "import", archive, "debian:0"))
	if err := os.Remove(archive); err != nil {
		t.Fatal(err)
	}
	for i, script := range changes() {
		container := fmt.Sprintf("step%d", i)
		must(t, stave(state, "run", "--name", container, fmt.Sprintf("debian:%d", i), "bash", "-ec", script))
		must(t, stave(state, "commit", container, fmt.Sprintf("debian:%d", i+1)))
		must(t, stave(state, "rm", container))
		must(t, stave(state, "run", "--rootfs", plain, "bash", "-ec", script))
	}
	six := fmt.Sprintf("debian:%d", len(changes()))
	if got := must(t, stave(state, "image", "inspect", "--format", "{{len .RootFS.Layers}}", six)); got != "6" {
		t.Errorf("%s has %s layers", six, got)
	}
	got := must(t, stave(state, "run", "--name", "last", six, "bash", "-c", "dpkg-query -W bash && dpkg --audit && apt list --installed 2>/dev/null | grep -c ^bash/"))
	if !strings.HasPrefix(got, "bash\t") || !strings.HasSuffix(got, "\n1") {
		t.Errorf("the last container says %q", got)
	}
	s := newLayers().look(state)
	s.has("docker.io/library/" + six)
	s.tidy()
	s.fail(t, "in the end")
	want, err := treeOfFolder(plain)
	if err != nil {
		t.Fatal(err)
	}
	have := exported(t, state, "last")
	for _, one := range []tree{want, have} {
		maps.DeleteFunc(one, func(path, _ string) bool { return momentary(path) })
		for path, words := range one {
			one[path] = timeless(words)
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("the files differ (-want +got):\n%s", diff)
	}
}

// momentary says of which files the content or being there depends on when and where a command ran.
func momentary(path string) bool {
	for _, begin := range []string{"etc/hostname", "etc/hosts", "etc/resolv.conf", "var/log/", "var/cache/", "var/lib/apt/", "dev/", "proc/", "sys/", "etc/shadow", "tmp/"} {
		if strings.HasPrefix(path, begin) {
			return true
		}
	}
	return false
}

// timeless takes the time out of the words for a file: the two were made one after the other.
func timeless(words string) string {
	fields := strings.Fields(words)
	if len(fields) == 6 && fields[0] == "file" {
		fields[3] = "-"
	}
	return strings.Join(fields, " ")
}
