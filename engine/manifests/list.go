// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/distribution/reference"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// List is a list of manifests that is put together.
type List struct {
	// Name is the list's in full.
	Name    string  `json:"name"`
	Entries []Entry `json:"entries"`
}

// Entry is one manifest of a list.
type Entry struct {
	// From is what the manifest was called when it was added, in full; Descriptor has its platform.
	From       string             `json:"from"`
	Descriptor ocispec.Descriptor `json:"descriptor"`
}

// Index is the list as registries have it: Docker's form as long as all manifests are Docker's, and OCI's otherwise.
func (l *List) Index() ocispec.Index {
	x := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: registry.MediaTypeDockerIndex, Manifests: []ocispec.Descriptor{}}
	for _, e := range l.Entries {
		if e.Descriptor.MediaType != registry.MediaTypeDockerManifest {
			x.MediaType = ocispec.MediaTypeImageIndex
		}
		x.Manifests = append(x.Manifests, e.Descriptor)
	}
	return x
}

// add adds a manifest, or puts it in the place of the one with the same name or digest.
func (l *List) add(e Entry) {
	i := slices.IndexFunc(l.Entries, func(old Entry) bool { return old.From == e.From || old.Descriptor.Digest == e.Descriptor.Digest })
	if i < 0 {
		l.Entries = append(l.Entries, e)
		return
	}
	l.Entries[i] = e
}

// Find returns the entry of a manifest, by its name or digest.
func (l *List) Find(word string) (*Entry, error) {
	name := word
	if named, err := registry.ParseReference(word); err == nil {
		name = named.String()
	}
	for i := range l.Entries {
		e := &l.Entries[i]
		if e.From == name || e.Descriptor.Digest.String() == word || sameByDigest(e, name) {
			return e, nil
		}
	}
	return nil, fmt.Errorf("the list %s has no manifest %s; stave manifest inspect %s shows what it has", registry.Familiar(l.Name), word, registry.Familiar(l.Name))
}

// sameByDigest tells whether a full name has the digest of an entry, in the same repository.
func sameByDigest(e *Entry, name string) bool {
	named, err := reference.ParseNormalizedNamed(name)
	from, err2 := reference.ParseNormalizedNamed(e.From)
	digested, ok := named.(reference.Digested)
	return err == nil && err2 == nil && ok && digested.Digest() == e.Descriptor.Digest && from.Name() == named.Name()
}

// Annotation is what an annotation of a manifest changes: what is set.
type Annotation struct {
	Architecture, OS, OSVersion, Variant string
	OSFeatures                           []string
}

// Annotate changes what a list says of a manifest's platform.
func (e *Entry) Annotate(a Annotation) error {
	p := ocispec.Platform{}
	if e.Descriptor.Platform != nil {
		p = *e.Descriptor.Platform
	}
	for _, set := range []struct {
		to    *string
		value string
	}{{&p.Architecture, a.Architecture}, {&p.OS, a.OS}, {&p.OSVersion, a.OSVersion}, {&p.Variant, a.Variant}} {
		if set.value != "" {
			*set.to = set.value
		}
	}
	for _, feature := range a.OSFeatures {
		if !slices.Contains(p.OSFeatures, feature) {
			p.OSFeatures = append(slices.Clone(p.OSFeatures), feature)
		}
	}
	if p.OS == "" || p.Architecture == "" {
		return fmt.Errorf("%s: a platform has an operating system and an architecture: give --os and --arch", registry.Familiar(e.From))
	}
	e.Descriptor.Platform = &p
	return nil
}

// decode reads a list's file.
func decode(data []byte) (*List, error) {
	var l List
	if err := json.Unmarshal(data, &l); err != nil {
		return nil, err
	}
	for _, e := range l.Entries {
		if err := registry.CheckDescriptor(e.Descriptor); err != nil {
			return nil, err
		}
	}
	return &l, nil
}
