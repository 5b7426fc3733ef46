// SPDX-License-Identifier: Apache-2.0

package images

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
)

// ErrNotFound says that there is no such image.
var ErrNotFound = errors.New("no such image")

// ErrAmbiguous says that the beginning of an ID is that of several images.
var ErrAmbiguous = errors.New("several images begin so")

// hexadecimal matches IDs and their beginnings.
var hexadecimal = regexp.MustCompile(`^(?:sha256:)?([0-9a-f]{1,64})$`)

// ParseName reads a name as people write it, with the tag latest where it has neither tag nor digest. Of tag and digest
// together the digest counts, as everywhere.
func ParseName(word string) (reference.Named, error) {
	named, err := reference.ParseNormalizedNamed(word)
	if err != nil {
		return nil, fmt.Errorf("the image name %q: %w", word, err)
	}
	if digested, ok := named.(reference.Digested); ok {
		return reference.WithDigest(reference.TrimNamed(named), digested.Digest())
	}
	return reference.TagNameOnly(named), nil
}

// Name reads a name for an image to be made, which may have no digest.
func Name(word string) (reference.NamedTagged, error) {
	named, err := ParseName(word)
	if err != nil {
		return nil, err
	}
	tagged, ok := named.(reference.NamedTagged)
	if !ok {
		return nil, fmt.Errorf("the image name %q: a name that is given has a tag, not a digest", word)
	}
	return tagged, nil
}

// parse reads a name that is kept in the store; nil is one of another program, which is not in full.
func parse(name string) reference.Named {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil || named.String() != name {
		return nil
	}
	return named
}

// Repository is the part of a kept name before tag and digest, for people; Tag and Digest are the others, or "".
func Repository(name string) (repository, tag, id string) {
	named := parse(name)
	if named == nil {
		if named, _ = reference.ParseNormalizedNamed(name); named == nil || reference.FamiliarString(named) != name {
			return name, "", ""
		}
	}
	if tagged, ok := named.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	if digested, ok := named.(reference.Digested); ok {
		id = digested.Digest().String()
	}
	return reference.FamiliarName(named), tag, id
}

// meant lists the kept names that a word of the command line may stand for: in full, or as another program wrote it.
func meant(word string) []string {
	named, err := ParseName(word)
	if err != nil {
		return []string{word}
	}
	return []string{named.String(), word}
}

// find looks an image up as docker does: by a whole ID, then by name, then by the beginning of an ID. The digest of a manifest serves
// like an ID.
func find(list []*Image, word string) (*Image, error) {
	match := hexadecimal.FindStringSubmatch(word)
	if match != nil && len(match[1]) == 64 {
		id := digest.NewDigestFromEncoded(digest.SHA256, match[1])
		for _, image := range list {
			if image.ID == id || slices.Contains(image.manifests, id) {
				return image, nil
			}
		}
	}
	for _, name := range meant(word) {
		for _, image := range list {
			if slices.Contains(image.Names, name) || slices.Contains(image.Digests, name) {
				return image, nil
			}
		}
	}
	if match == nil {
		return nil, notFound(word)
	}
	var found *Image
	for _, image := range list {
		if !strings.HasPrefix(image.ID.Encoded(), match[1]) {
			continue
		}
		if found != nil {
			return nil, fmt.Errorf("the image %q: %w: %s and %s; write more of the ID", word, ErrAmbiguous, Short(found.ID), Short(image.ID))
		}
		found = image
	}
	if found == nil {
		return nil, notFound(word)
	}
	return found, nil
}

// wholeID tells whether a word is an ID, all of it, which counts before any name.
func wholeID(word string) bool {
	match := hexadecimal.FindStringSubmatch(word)
	return match != nil && len(match[1]) == 64
}

// notFound says that there is no image.
func notFound(word string) error {
	return fmt.Errorf("%w: %q; stave images lists those that are here", ErrNotFound, word)
}

// byID tells whether a word names an image by its ID rather than by a name.
func (i *Image) byID(word string) bool {
	return !slices.ContainsFunc(meant(word), func(name string) bool {
		return slices.Contains(i.Names, name) || slices.Contains(i.Digests, name)
	})
}
