// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// makeBundle makes a bundle that runs /bin/true: the configuration that runc spec writes (or
// stave-oci, where there is no runc), and a root file system with a static busybox. The folder is
// one that anybody may enter, as a container's user need not be root.
func makeBundle(dir, oci string) error {
	bin := filepath.Join(dir, "rootfs", "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("busybox, as a static program, is needed (Debian: busybox-static): %w", err)
	}
	if err := copyFile(busybox, filepath.Join(bin, "true")); err != nil {
		return err
	}
	writer, err := exec.LookPath("runc")
	if err != nil {
		writer = oci
	}
	if text, err := exec.Command(writer, "spec", "--bundle", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%s spec: %w: %s", writer, err, text)
	}
	return adapt(filepath.Join(dir, "config.json"))
}

// adapt makes a configuration run /bin/true without a terminal, and leaves the rest of it alone.
func adapt(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var spec specs.Spec
	if err := json.Unmarshal(data, &spec); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if spec.Process == nil {
		return fmt.Errorf("%s: there is no process", name)
	}
	spec.Process.Terminal = false
	spec.Process.Args = []string{"/bin/true"}
	if data, err = json.MarshalIndent(spec, "", "\t"); err != nil {
		return err
	}
	return os.WriteFile(name, data, 0o644)
}

// copyFile copies a program.
func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		out.Close()
		return err
	}
	return out.Close()
}
