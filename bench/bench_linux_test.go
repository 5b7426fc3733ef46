// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"stave/internal/witness"
)

// TestMain runs the tests under a witness, which finds what they leave behind.
func TestMain(m *testing.M) { witness.Main(m) }

// TestRun times what is installed, in two rounds, and looks at the table of containers.
func TestRun(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "command:unshare")
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "stave-oci"), "stave/cmd/stave-oci")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	if err := run(t.Context(), &out, options{table: containerTable, bin: bin, rounds: 2, imageRounds: 1}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"fork and exec  ", "unshare  ", "stave-oci run  ", "stave-oci run / unshare", "stave-oci run, limited  ", "stave-oci create+start+delete  ",
		"stave-oci exec  ", "stave-oci exec / crun exec", "waiting process of stave-oci  ", "left out: stave run: ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out.String())
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v %v", left, err)
	}
}

// TestRunImages times what is installed with a small image, and looks at the table.
func TestRunImages(t *testing.T) {
	witness.Need(t, "root", "command:docker-registry")
	bin, source := t.TempDir(), t.TempDir()
	build := exec.Command("go", "build", "-o", filepath.Join(bin, "stave"), "stave/cmd/stave")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for i := range 20 {
		if err := os.WriteFile(filepath.Join(source, fmt.Sprintf("file-%d", i)), make([]byte, 10_000), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	o := options{table: imagesTable, bin: bin, cache: t.TempDir(), rounds: 1, imageRounds: 2, shape: shape{layers: 3, bytes: 50_000, source: source}}
	t.Setenv("TMPDIR", t.TempDir())
	var out bytes.Buffer
	if err := run(t.Context(), &out, o); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n" + stavePull + "  ", "\n" + stavePacked + "  ", "\n" + staveUnpack + "  ", "\n" + staveImages + "  ", "\nmemory of " + stavePull + "  ", "\n" + staveImages + " of 1000  ",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the output lacks %q:\n%s", want, out.String())
		}
	}
	if left, err := os.ReadDir(os.TempDir()); err != nil || len(left) > 0 {
		t.Errorf("left in the temporary folder: %v %v", left, err)
	}
}

// TestLeftOut checks that a program that fails is left out, with what it said.
func TestLeftOut(t *testing.T) {
	b := &bench{bundle: t.TempDir(), subjects: []*subject{
		{name: "fails", args: []string{"sh", "-c", "echo reason >&2; exit 3"}},
		{name: "works", args: []string{"sh", "-c", "exit 0"}},
	}}
	var err error
	if b.errors, err = os.Create(filepath.Join(t.TempDir(), "stderr")); err != nil {
		t.Fatal(err)
	}
	defer b.errors.Close()
	var out bytes.Buffer
	b.choose(&out)
	if len(b.subjects) != 1 || b.subjects[0].name != "works" {
		t.Errorf("%d programs remain", len(b.subjects))
	}
	if got := out.String(); got != "left out: fails: exit status 3: reason\n" {
		t.Errorf("the output is %q", got)
	}
}
