// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"fmt"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// ParseReference reads what a user calls an image, such as "busybox", and adds what is left out, as all container tools do:
// "docker.io/library/busybox:latest". A name with a digest gets no tag.
func ParseReference(text string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", text, err)
	}
	return reference.TagNameOnly(named), nil
}

// Familiar shortens the full name of an image to what users type: "docker.io/library/busybox:latest" to
// "busybox:latest". What is no such name it leaves as it is.
func Familiar(name string) string {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil || named.String() != name {
		return name
	}
	return reference.FamiliarString(named)
}

// TagOrDigest is the part of a reference that one repository understands: the digest if it has one, else the tag, else "latest".
func TagOrDigest(named reference.Named) string {
	if d, is := named.(reference.Digested); is {
		return d.Digest().String()
	}
	if t, is := named.(reference.Tagged); is {
		return t.Tag()
	}
	return "latest"
}

// AsDigest returns the digest that a store's ref is, if it is one and no name.
func AsDigest(ref string) (digest.Digest, bool) {
	d, err := digest.Parse(ref)
	return d, err == nil
}
