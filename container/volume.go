// SPDX-License-Identifier: Apache-2.0

package container

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// volumes adds the binds.
func (s Settings) volumes(spec *specs.Spec) error {
	var targets []string
	for _, v := range s.Volumes {
		m, err := parseVolume(v)
		if err != nil {
			return fmt.Errorf("volume %q: %w", v, err)
		}
		if slices.Contains(targets, m.Destination) {
			return fmt.Errorf("volume %q: there is another for %s", v, m.Destination)
		}
		targets = append(targets, m.Destination)
		spec.Mounts = append(spec.Mounts, m)
	}
	return nil
}

// parseVolume reads "source:target" or "source:target:options".
func parseVolume(v string) (m specs.Mount, err error) {
	parts := strings.SplitN(v, ":", 3)
	if len(parts) < 2 {
		return m, fmt.Errorf("source:target is wanted, and :ro behind it for read-only")
	}
	source, target := parts[0], parts[1]
	switch {
	case !strings.ContainsAny(source, "/."):
		return m, fmt.Errorf("%q is the name of a volume; this version knows folders and files of the host only (./%s?)", source, source)
	case !strings.HasPrefix(target, "/"):
		return m, fmt.Errorf("the target %q is not an absolute path", target)
	case path.Clean(target) == "/":
		return m, fmt.Errorf("the target can't be the root; --rootfs makes a folder the root")
	}
	if source, err = filepath.Abs(source); err != nil {
		return m, err
	}
	m = specs.Mount{Destination: path.Clean(target), Type: "bind", Source: source, Options: []string{"rbind", "rprivate"}}
	if len(parts) == 2 {
		return m, nil
	}
	for option := range strings.SplitSeq(parts[2], ",") {
		if !slices.Contains(volumeOptions(), option) {
			return m, fmt.Errorf("unknown option %q: one of %s", option, strings.Join(volumeOptions(), ", "))
		}
		m.Options = append(m.Options, option)
	}
	return m, nil
}

// volumeOptions are the options that make sense for a bind: a misspelt "ro" must not give write access.
func volumeOptions() []string {
	return []string{
		"ro", "rw", "rro", "nosuid", "nodev", "noexec", "private", "rprivate", "shared", "rshared", "slave", "rslave",
	}
}
