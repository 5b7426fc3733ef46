// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// AnnotationIndex is the annotation of a manifest's descriptor with the digest of the index that it was chosen from.
const AnnotationIndex = "stave.index.digest"

// ParsePlatform reads "os/arch", "os/arch/variant", or one word that is an architecture or an operating system, the other being
// the machine's. Other spellings in use (x86_64, aarch64, armhf, macos) become those of the specification.
func ParsePlatform(text string) (ocispec.Platform, error) {
	parts := strings.Split(strings.ToLower(text), "/")
	word := regexp.MustCompile(`^[a-z0-9_.-]+$`)
	if len(parts) > 3 || slices.ContainsFunc(parts, func(part string) bool { return !word.MatchString(part) }) {
		return ocispec.Platform{}, fmt.Errorf("platform %q is not of the form os/architecture or os/architecture/variant, such as linux/amd64 or linux/arm/v7", text)
	}
	here := HostPlatform()
	switch {
	case len(parts) == 1 && slices.Contains(systems(), normalSystem(parts[0])):
		here.OS = normalSystem(parts[0])
		return here, nil
	case len(parts) == 1:
		parts = append([]string{here.OS}, parts...)
	}
	p := ocispec.Platform{OS: parts[0], Architecture: parts[1]}
	if len(parts) == 3 {
		p.Variant = parts[2]
	}
	return normalPlatform(p), nil
}

// FormatPlatform is the form that [ParsePlatform] reads, with the version of the operating system in brackets if there is one.
func FormatPlatform(p ocispec.Platform) string {
	text := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		text += "/" + p.Variant
	}
	if p.OSVersion != "" {
		text += " (" + p.OSVersion + ")"
	}
	return text
}

// HostPlatform is the platform that this program was built for. Which variant of it the machine is nobody needs to know for amd64
// and arm64, where images for the first variant are what there is; a 32-bit ARM is taken for version 7.
func HostPlatform() ocispec.Platform {
	return normalPlatform(ocispec.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH})
}

// systems are the operating systems of which there are images.
func systems() []string {
	return []string{"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "dragonfly", "solaris", "illumos", "aix", "android", "plan9", "wasip1", "js"}
}

// normalSystem is an operating system as Go calls it.
func normalSystem(name string) string {
	if name == "macos" {
		return "darwin"
	}
	return name
}

// normalPlatform is a platform as Go calls it, with the variant left out where it is the least one of the architecture, and
// filled in for 32-bit ARM.
func normalPlatform(p ocispec.Platform) ocispec.Platform {
	p.OS = normalSystem(strings.ToLower(p.OS))
	p.Architecture = strings.ToLower(p.Architecture)
	p.Variant = strings.ToLower(p.Variant)
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "i386", "i486", "i586", "i686":
		p.Architecture, p.Variant = "386", ""
	case "aarch64":
		p.Architecture = "arm64"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	if p.Variant != "" && p.Variant[0] >= '0' && p.Variant[0] <= '9' {
		p.Variant = "v" + p.Variant
	}
	switch {
	case p.Architecture == "amd64" && p.Variant == "v1", p.Architecture == "arm64" && p.Variant == "v8":
		p.Variant = ""
	case p.Architecture == "arm" && p.Variant == "":
		p.Variant = "v7"
	}
	return p
}

// fit says how well a machine of the platform want runs images of the platform has: not at all below 0, exactly with the
// highest number. A machine runs what was built for earlier variants of its architecture, and an arm64 one what was
// built for 32-bit ARM.
func fit(want, has ocispec.Platform) int {
	want, has = normalPlatform(want), normalPlatform(has)
	if want.OS != has.OS || want.OSVersion != "" && !sameVersion(want.OSVersion, has.OSVersion) || !subset(has.OSFeatures, want.OSFeatures) {
		return -1
	}
	w, known := level(want)
	h, alsoKnown := level(has)
	switch {
	case want.Architecture == has.Architecture && want.Variant == has.Variant:
		return 1000
	case want.Architecture == has.Architecture && known && alsoKnown && h < w:
		return 100 + h
	case want.Architecture == "arm64" && has.Architecture == "arm" && alsoKnown && h <= 80:
		return h
	}
	return -1
}

// level is the number of a variant, in tenths: 70 for v7, 81 for v8.1. An architecture without a variant has its first.
func level(p ocispec.Platform) (int, bool) {
	variant := p.Variant
	switch {
	case variant == "" && p.Architecture == "amd64":
		variant = "v1"
	case variant == "" && p.Architecture == "arm64":
		variant = "v8"
	}
	number, is := strings.CutPrefix(variant, "v")
	f, err := strconv.ParseFloat(number, 32)
	if !is || err != nil || !(f >= 0 && f < 100) {
		return 0, false
	}
	return int(f*10 + 0.5), true
}

// sameVersion compares versions of an operating system by their first three numbers, which is what a Windows kernel wants of
// its images: 10.0.20348 of 10.0.20348.1234.
func sameVersion(a, b string) bool {
	first := func(v string) string {
		parts := strings.Split(v, ".")
		return strings.Join(parts[:min(3, len(parts))], ".")
	}
	return first(a) == first(b)
}

// subset says whether all of some is in all; an image that doesn't say what it requires is fine everywhere, and a platform that
// doesn't say what it has has everything.
func subset(some, all []string) bool {
	for _, feature := range some {
		if len(all) > 0 && !slices.Contains(all, feature) {
			return false
		}
	}
	return true
}

// attestation says whether an entry of an index is no image but tells of one (provenance, a list of packages), which builders
// put there for a platform that there isn't.
func attestation(d ocispec.Descriptor) bool {
	return d.Platform != nil && d.Platform.OS == "unknown" && d.Platform.Architecture == "unknown" ||
		d.Annotations["vnd.docker.reference.type"] != ""
}

// ChoosePlatform picks from the entries of an index the one that fits best on a machine of the platform want, of equals the
// first. Entries without a platform are looked at last, in case there is but one. [ErrNotFound] lists the platforms that there are.
func ChoosePlatform(entries []ocispec.Descriptor, want ocispec.Platform) (ocispec.Descriptor, error) {
	best, found := -1, ocispec.Descriptor{}
	var there []string
	var unnamed []ocispec.Descriptor
	for _, d := range entries {
		switch {
		case attestation(d):
		case d.Platform == nil:
			unnamed = append(unnamed, d)
		default:
			if name := FormatPlatform(normalPlatform(*d.Platform)); !slices.Contains(there, name) {
				there = append(there, name)
			}
			if n := fit(want, *d.Platform); n > best {
				best, found = n, d
			}
		}
	}
	switch {
	case best >= 0:
		return found, nil
	case len(unnamed) == 1 && len(there) == 0:
		return unnamed[0], nil
	}
	return found, fmt.Errorf("no image for platform %s, there is %s: %w", FormatPlatform(normalPlatform(want)), listed(there), ErrNotFound)
}

// listed joins names for an error.
func listed(names []string) string {
	const most = 30 // an error is read by people
	switch {
	case len(names) == 0:
		return "none that says its platform"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
