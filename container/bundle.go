// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/kernel"
)

// Bundle is a container's configuration and the folder it came from (OCI bundle.md).
type Bundle struct {
	// Dir is the absolute path of the bundle; relative paths of the configuration start there.
	Dir string
	// Spec is the configuration.
	Spec *specs.Spec
	// Mounts make the root file system: they mount it on root.path, in the container's own mount namespace and before all else
	// there, so that it goes with the container. Without them it is there already.
	Mounts []kernel.Call
	// View, if set, is where this process can look at the root file system that Mounts make.
	View string

	data []byte // the text it was read from
}

// configName is the name of the configuration in a bundle.
const configName = "config.json"

// Load reads and checks the configuration of the bundle in a folder.
func Load(dir string) (*Bundle, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	data, err := kernel.ReadFile(filepath.Join(dir, configName))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s is not there: is %s a bundle? stave-oci spec makes one: %w", configName, dir, err)
	}
	if err != nil {
		return nil, err
	}
	spec, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, configName), err)
	}
	return &Bundle{Dir: dir, Spec: spec, data: data}, nil
}

// Parse reads a configuration and checks what can be checked without looking at the machine.
func Parse(data []byte) (*specs.Spec, error) {
	spec, err := decode(data)
	if err != nil {
		return nil, err
	}
	if err := check(spec); err != nil {
		return nil, err
	}
	return spec, nil
}

// check refuses a configuration that can't become a container.
func check(s *specs.Spec) error {
	switch {
	case s.Version == "":
		return errors.New("ociVersion is missing")
	case !strings.HasPrefix(s.Version, "1."):
		return fmt.Errorf("ociVersion %q: this is a runtime for version 1", s.Version)
	case s.Root == nil || s.Root.Path == "":
		return errors.New("root.path is missing")
	case s.Process == nil:
		return errors.New("process is missing")
	case len(s.Process.Args) == 0:
		return errors.New("process.args is empty: which command is to run?")
	case !strings.HasPrefix(s.Process.Cwd, "/"):
		return fmt.Errorf("process.cwd %q is not an absolute path", s.Process.Cwd)
	case s.Linux == nil:
		return errors.New("linux is missing: this runtime makes Linux containers only")
	}
	if err := checkStrings(s); err != nil {
		return err
	}
	return checkHooks(s.Hooks)
}

// checkStrings refuses strings that the kernel would cut at a NUL byte.
func checkStrings(s *specs.Spec) error {
	fields := map[string][]string{"process.args": s.Process.Args, "process.env": s.Process.Env}
	fields["process.cwd"] = []string{s.Process.Cwd}
	fields["root.path"] = []string{s.Root.Path}
	fields["hostname"] = []string{s.Hostname}
	fields["domainname"] = []string{s.Domainname}
	fields["linux.maskedPaths"] = s.Linux.MaskedPaths
	fields["linux.readonlyPaths"] = s.Linux.ReadonlyPaths
	for _, m := range s.Mounts {
		fields["mounts of "+m.Destination] = append([]string{m.Destination, m.Source, m.Type}, m.Options...)
	}
	for name, values := range fields {
		for _, v := range values {
			if strings.ContainsRune(v, 0) {
				return fmt.Errorf("%s: %q holds a NUL byte", name, v)
			}
		}
	}
	return nil
}

// viewPath returns the path at which this process sees what the container will have as its root.
func (b *Bundle) viewPath() string {
	if b.View != "" {
		return b.View
	}
	return b.rootPath()
}

// rootPath returns the absolute path of the root folder.
func (b *Bundle) rootPath() string {
	if filepath.IsAbs(b.Spec.Root.Path) {
		return filepath.Clean(b.Spec.Root.Path)
	}
	return filepath.Join(b.Dir, b.Spec.Root.Path)
}
