// SPDX-License-Identifier: Apache-2.0

package images_test

import (
	"os"
	"path/filepath"
	"testing"

	"stave/internal/witness"
)

// TestLook damages a store in every way that the other tests look for, and looks whether that is found.
func TestLook(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "filesystem:overlay")
	dir := memory(t, "256m")
	archive, known := filepath.Join(dir, "victims.tar"), newLayers()
	victims(t, archive)
	for name, damage := range map[string]struct {
		pattern string // of files, of which the first is damaged
		do      func(name string) error
	}{
		"none":              {"images", func(string) error { return nil }},
		"blob cut":          {"images/blobs/sha256/*", func(name string) error { return os.Truncate(name, 10) }},
		"blob gone":         {"images/blobs/sha256/*", os.Remove},
		"blob that is not":  {"images/blobs/sha256", func(name string) error { return os.WriteFile(name+"/12", nil, 0o644) }},
		"names cut":         {"images/index.json", func(name string) error { return os.Truncate(name, 100) }},
		"layer's file cut":  {"layers/*/fs/own1-3", func(name string) error { return os.Truncate(name, 0) }},
		"layer's file gone": {"layers/*/fs/data2/file3", os.Remove},
		"layer's file more": {"layers/*/fs", func(name string) error { return os.WriteFile(name+"/more", nil, 0o644) }},
		"layer's mode":      {"layers/*/fs/bin/busybox", func(name string) error { return os.Chmod(name, 0o700) }},
		"layer's record":    {"layers/*/layer.json", os.Remove},
		"layer gone":        {"layers/[0-9a-f]*", os.RemoveAll},
		"layer half":        {"layers", func(name string) error { return os.Mkdir(name+"/.half", 0o700) }},
		"part of a blob":    {"images/ingest", func(name string) error { return os.WriteFile(name+"/sha256-12", nil, 0o644) }},
		"lease":             {"images/leases", func(name string) error { return os.WriteFile(name+"/old", nil, 0o644) }},
		"temporary archive": {"images", func(name string) error { return os.WriteFile(filepath.Dir(name)+"/archive-1", nil, 0o600) }},
		"half a container":  {"containers", func(name string) error { return os.MkdirAll(name+"/12", 0o700) }},
		"holder":            {"layers/holders", func(name string) error { return os.Mkdir(name+"/image-12", 0o700) }},
	} {
		state := filepath.Join(dir, "state")
		must(t, stave(state, "load", "--quiet", "-i", archive))
		must(t, stave(state, "ps")) // makes the folder of containers
		found, err := filepath.Glob(filepath.Join(state, damage.pattern))
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v, %q", name, err, found)
		}
		if err := damage.do(found[0]); err != nil {
			t.Fatal(err)
		}
		s := known.look(state)
		s.tidy()
		s.exact()
		for _, name := range []string{"docker.io/library/victim:1", "docker.io/library/victim:2"} {
			s.has(name)
		}
		if (len(s.wrong) > 0) != (name != "none") {
			t.Errorf("%s: found %q", name, s.wrong)
		}
		if err := os.RemoveAll(state); err != nil {
			t.Fatal(err)
		}
	}
}
