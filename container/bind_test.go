// SPDX-License-Identifier: Apache-2.0

package container

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestBindOptions plans binds with words that no bind reads: those with a value change nothing, any other is refused.
func TestBindOptions(t *testing.T) {
	plan := func(options ...string) ([]string, error) {
		spec := Example()
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/data", Source: "/srv", Options: append([]string{"bind"}, options...)})
		program, err := Plan(&Bundle{Dir: "/bundle", Spec: spec}, madeUp(), Options{})
		if err != nil {
			return nil, err
		}
		return words(program), nil
	}
	want, err := plan("ro")
	if err != nil {
		t.Fatal(err)
	}
	got, err := plan("mode=755", "size=1k", "ro")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("values change a bind (-without +with):\n%s", diff)
	}
	for _, options := range [][]string{{"readonly"}, {"mode=755", "readonly"}} {
		if _, err := plan(options...); err == nil || !strings.Contains(err.Error(), `"readonly"`) {
			t.Errorf("options %v: %v, want an error that names readonly", options, err)
		}
	}
}
