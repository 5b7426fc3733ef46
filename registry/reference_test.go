// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"strings"
	"testing"

	"stave/registry"
)

// TestParseReference fills in what users leave out.
func TestParseReference(t *testing.T) {
	const sum = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
	tests := map[string]struct{ full, familiar, part string }{
		"busybox":                     {"docker.io/library/busybox:latest", "busybox:latest", "latest"},
		"busybox:1.36":                {"docker.io/library/busybox:1.36", "busybox:1.36", "1.36"},
		"user/app":                    {"docker.io/user/app:latest", "user/app:latest", "latest"},
		"docker.io/busybox":           {"docker.io/library/busybox:latest", "busybox:latest", "latest"},
		"index.docker.io/busybox":     {"docker.io/library/busybox:latest", "busybox:latest", "latest"},
		"localhost/app":               {"localhost/app:latest", "localhost/app:latest", "latest"},
		"localhost:5000/app:1":        {"localhost:5000/app:1", "localhost:5000/app:1", "1"},
		"[::1]:5000/app":              {"[::1]:5000/app:latest", "[::1]:5000/app:latest", "latest"},
		"busybox@" + sum:              {"docker.io/library/busybox@" + sum, "busybox@" + sum, sum},
		"busybox:1@" + sum:            {"docker.io/library/busybox:1@" + sum, "busybox:1@" + sum, sum},
		"registry.example.org/a/b/c":  {"registry.example.org/a/b/c:latest", "registry.example.org/a/b/c:latest", "latest"},
		"":                            {},
		"Busybox":                     {},
		"busybox:":                    {},
		"busybox:latest:1":            {},
		"https://example.org/busybox": {},
		"../busybox":                  {},
		"a//b":                        {},
		"busybox@sha256:1":            {},
		"busybox latest":              {},
		strings.Repeat("a", 300):      {},
		sum[7:]:                       {},
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			named, err := registry.ParseReference(text)
			if want.full == "" {
				if err == nil || !strings.Contains(err.Error(), `"`+text+`"`) {
					t.Errorf("%v, %v; want an error with the text", named, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if named.String() != want.full || registry.Familiar(named.String()) != want.familiar || registry.TagOrDigest(named) != want.part {
				t.Errorf("%s, familiar %s, part %s; want %+v", named, registry.Familiar(named.String()), registry.TagOrDigest(named), want)
			}
		})
	}
	for _, foreign := range []string{"latest", "v1.0", "some thing", "busybox:latest", sum} {
		if got := registry.Familiar(foreign); got != foreign {
			t.Errorf("the familiar form of %q, no full name, is %q", foreign, got)
		}
	}
}
