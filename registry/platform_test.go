// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// TestParsePlatform reads platforms as users type them.
func TestParsePlatform(t *testing.T) {
	here := registry.HostPlatform()
	tests := map[string]string{
		"linux/amd64":       "linux/amd64",
		"Linux/x86_64":      "linux/amd64",
		"linux/amd64/v1":    "linux/amd64",
		"linux/amd64/v3":    "linux/amd64/v3",
		"linux/aarch64":     "linux/arm64",
		"linux/arm64/v8":    "linux/arm64",
		"linux/arm64/v9":    "linux/arm64/v9",
		"linux/arm":         "linux/arm/v7",
		"linux/armhf":       "linux/arm/v7",
		"linux/armel":       "linux/arm/v6",
		"linux/arm/6":       "linux/arm/v6",
		"linux/i386":        "linux/386",
		"macos/arm64":       "darwin/arm64",
		"arm64":             here.OS + "/arm64",
		"riscv64":           here.OS + "/riscv64",
		"windows":           "windows/" + here.Architecture,
		"linux/mips64le/x":  "linux/mips64le/x",
		"":                  "",
		"/":                 "",
		"linux/":            "",
		"linux/amd64/v1/x":  "",
		"linux/../../x":     "",
		"linux/amd 64":      "",
		"linux/amd64\nlink": "",
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			p, err := registry.ParsePlatform(text)
			switch {
			case want == "" && err == nil:
				t.Errorf("%+v, want an error", p)
			case want == "":
			case err != nil || registry.FormatPlatform(p) != want:
				t.Errorf("%s, %v; want %s", registry.FormatPlatform(p), err, want)
			}
		})
	}
}

// entries are descriptors with these platforms, "" for none; each has its text as its annotation.
func entries(t *testing.T, platforms ...string) []ocispec.Descriptor {
	t.Helper()
	var all []ocispec.Descriptor
	for i, text := range platforms {
		d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(fmt.Sprint(i)), Annotations: map[string]string{"text": text}}
		text, version, _ := strings.Cut(text, " ")
		if text != "" {
			parts := append(strings.Split(text, "/"), "")
			d.Platform = &ocispec.Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2], OSVersion: version}
		}
		all = append(all, d)
	}
	return all
}

// TestChoosePlatform chooses from indexes as they are found.
func TestChoosePlatform(t *testing.T) {
	tests := map[string]struct {
		there   []string
		want    string
		version string
		chosen  string // "none" for an error
	}{
		"the one":                     {there: []string{"linux/arm64/v8", "linux/amd64"}, want: "linux/amd64", chosen: "linux/amd64"},
		"default variant of arm64":    {there: []string{"linux/amd64", "linux/arm64/v8"}, want: "linux/arm64", chosen: "linux/arm64/v8"},
		"no variant for v8":           {there: []string{"linux/arm64"}, want: "linux/arm64/v8", chosen: "linux/arm64"},
		"highest that runs":           {there: []string{"linux/arm/v5", "linux/arm/v7", "linux/arm/v6"}, want: "linux/arm/v8", chosen: "linux/arm/v7"},
		"lower":                       {there: []string{"linux/arm/v5", "linux/arm/v7"}, want: "linux/arm/v6", chosen: "linux/arm/v5"},
		"none that runs":              {there: []string{"linux/arm/v7"}, want: "linux/arm/v6", chosen: "none"},
		"arm for arm64":               {there: []string{"linux/arm/v6", "linux/arm/v7", "linux/amd64"}, want: "linux/arm64", chosen: "linux/arm/v7"},
		"arm64 before arm":            {there: []string{"linux/arm/v7", "linux/arm64"}, want: "linux/arm64/v9", chosen: "linux/arm64"},
		"never arm64 on arm":          {there: []string{"linux/arm64"}, want: "linux/arm", chosen: "none"},
		"amd64 levels":                {there: []string{"linux/amd64", "linux/amd64/v2", "linux/amd64/v4"}, want: "linux/amd64/v3", chosen: "linux/amd64/v2"},
		"amd64 exact":                 {there: []string{"linux/amd64/v3", "linux/amd64"}, want: "linux/amd64", chosen: "linux/amd64"},
		"amd64 plain for v1":          {there: []string{"linux/amd64/v1"}, want: "linux/amd64", chosen: "linux/amd64/v1"},
		"no 386 on amd64":             {there: []string{"linux/386"}, want: "linux/amd64", chosen: "none"},
		"first of equals":             {there: []string{"windows/amd64 10.0.17763.1", "windows/amd64 10.0.20348.2"}, want: "windows/amd64", chosen: "windows/amd64 10.0.17763.1"},
		"version":                     {there: []string{"windows/amd64 10.0.17763.1", "windows/amd64 10.0.20348.2"}, want: "windows/amd64", version: "10.0.20348.77", chosen: "windows/amd64 10.0.20348.2"},
		"no such version":             {there: []string{"windows/amd64 10.0.17763.1"}, want: "windows/amd64", version: "10.0.20348.77", chosen: "none"},
		"attestations are no images":  {there: []string{"unknown/unknown", "linux/amd64", "unknown/unknown"}, want: "linux/amd64", chosen: "linux/amd64"},
		"attestations alone":          {there: []string{"unknown/unknown"}, want: "linux/amd64", chosen: "none"},
		"one without a platform":      {there: []string{"", "unknown/unknown"}, want: "linux/amd64", chosen: ""},
		"two without a platform":      {there: []string{"", ""}, want: "linux/amd64", chosen: "none"},
		"one without among others":    {there: []string{"", "linux/arm64"}, want: "linux/amd64", chosen: "none"},
		"empty":                       {want: "linux/amd64", chosen: "none"},
		"another spelling":            {there: []string{"linux/x86_64", "linux/aarch64"}, want: "linux/arm64", chosen: "linux/aarch64"},
		"strange variant, exactly":    {there: []string{"linux/mips64/a", "linux/mips64/b"}, want: "linux/mips64/b", chosen: "linux/mips64/b"},
		"strange variant, not a rank": {there: []string{"linux/mips64/a"}, want: "linux/mips64/b", chosen: "none"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			want, err := registry.ParsePlatform(test.want)
			if err != nil {
				t.Fatal(err)
			}
			want.OSVersion = test.version
			d, err := registry.ChoosePlatform(entries(t, test.there...), want)
			switch {
			case test.chosen == "none" && !errors.Is(err, registry.ErrNotFound):
				t.Errorf("chose %q, %v; want ErrNotFound", d.Annotations["text"], err)
			case test.chosen == "none":
				for _, there := range test.there {
					if strings.HasPrefix(there, "linux/a") && !strings.Contains(err.Error(), strings.TrimSuffix(there, "/v8")) {
						t.Errorf("error %q lacks %s", err, there)
					}
				}
			case err != nil || d.Annotations["text"] != test.chosen:
				t.Errorf("chose %q, %v; want %q", d.Annotations["text"], err, test.chosen)
			}
		})
	}
}
