// SPDX-License-Identifier: Apache-2.0

package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// maxIndex is how large index.json may be: some hundred thousand names.
const maxIndex = 64 << 20

// index is index.json. What we don't know of it stays as it was written.
type index struct {
	entries []entry
	read    []byte                     // the text it was decoded from, until opened
	fields  map[string]json.RawMessage // all but manifests, once opened
}

// entry is one descriptor of index.json, and once that is opened its text.
type entry struct {
	descriptor ocispec.Descriptor
	text       json.RawMessage
}

// readIndex reads index.json. One that is not there is empty.
func readIndex(path string) (*index, error) {
	stat, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &index{fields: map[string]json.RawMessage{"schemaVersion": json.RawMessage("2")}}, nil
	}
	if err != nil {
		return nil, err
	}
	if stat.Size() > maxIndex {
		return nil, fmt.Errorf("%s has %d bytes, at most %d are read", path, stat.Size(), maxIndex)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	x, err := decodeIndex(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return x, nil
}

// decodeIndex reads the text of index.json.
func decodeIndex(text []byte) (*index, error) {
	var document ocispec.Index
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	x := &index{read: text, entries: make([]entry, len(document.Manifests))}
	for i, d := range document.Manifests {
		if err := registry.CheckDescriptor(d); err != nil {
			return nil, fmt.Errorf("manifest %d: %w", i, err)
		}
		x.entries[i].descriptor = d
	}
	return x, nil
}

// opened returns the index ready to be changed: with the texts of all its parts, in lists of its own.
func (x *index) opened() (*index, error) {
	if x.fields != nil {
		return &index{entries: slices.Clone(x.entries), fields: x.fields}, nil
	}
	own := &index{entries: slices.Clone(x.entries)}
	if err := json.Unmarshal(x.read, &own.fields); err != nil {
		return nil, err
	}
	if own.fields == nil {
		return nil, errors.New("it is no JSON object")
	}
	var texts []json.RawMessage
	if list := own.fields["manifests"]; list != nil {
		if err := json.Unmarshal(list, &texts); err != nil {
			return nil, err
		}
	}
	if len(texts) != len(own.entries) {
		return nil, errors.New("it has two lists of manifests")
	}
	for i, text := range texts {
		own.entries[i].text = text
	}
	delete(own.fields, "manifests")
	return own, nil
}

// encode is the text of an index that was opened: one manifest a line, for people too.
func (x *index) encode() ([]byte, error) {
	rest, err := json.Marshal(x.fields)
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	text.Write(bytes.TrimSuffix(rest, []byte("}")))
	if len(x.fields) > 0 {
		text.WriteString(",")
	}
	text.WriteString(`"manifests":[`)
	for i, e := range x.entries {
		if i > 0 {
			text.WriteString(",")
		}
		text.WriteString("\n")
		if err := json.Compact(&text, e.text); err != nil {
			return nil, err
		}
	}
	text.WriteString("\n]}\n")
	return text.Bytes(), nil
}

// name is the name of an entry, if it has one.
func (e entry) name() string { return e.descriptor.Annotations[ocispec.AnnotationRefName] }

// named is an entry as callers see it: the name is no annotation.
func (e entry) named() registry.Named {
	d := e.descriptor
	d.Annotations = maps.Clone(d.Annotations)
	delete(d.Annotations, ocispec.AnnotationRefName)
	if len(d.Annotations) == 0 {
		d.Annotations = nil
	}
	return registry.Named{Name: e.name(), Descriptor: d}
}

// newEntry is the entry of a manifest with a name, or without if it is empty.
func newEntry(d ocispec.Descriptor, name string) (entry, error) {
	d.Annotations = maps.Clone(d.Annotations)
	delete(d.Annotations, ocispec.AnnotationRefName)
	if name != "" {
		if d.Annotations == nil {
			d.Annotations = map[string]string{}
		}
		d.Annotations[ocispec.AnnotationRefName] = name
	}
	d.Data = nil // it is in the blob
	text, err := json.Marshal(d)
	return entry{d, text}, err
}

// hasDigest says whether a manifest has an entry.
func (x *index) hasDigest(d digest.Digest) bool {
	return slices.ContainsFunc(x.entries, func(e entry) bool { return e.descriptor.Digest == d })
}

// tag adds a manifest with a name, or without. Whoever had the name stays, without it if it has no other.
func (x *index) tag(d ocispec.Descriptor, name string) error {
	added, err := newEntry(d, name)
	if err != nil {
		return err
	}
	var kept []entry
	var lost []ocispec.Descriptor
	for _, e := range x.entries {
		switch {
		case e.name() == name && name != "" && e.descriptor.Digest != d.Digest:
			lost = append(lost, e.named().Descriptor)
		case e.name() == name && name != "", e.name() == "" && e.descriptor.Digest == d.Digest:
		default:
			kept = append(kept, e)
		}
	}
	x.entries = kept
	if name != "" || !x.hasDigest(d.Digest) {
		x.entries = append(x.entries, added)
	}
	for _, d := range lost {
		if x.hasDigest(d.Digest) {
			continue
		}
		e, err := newEntry(d, "")
		if err != nil {
			return err
		}
		x.entries = append(x.entries, e)
	}
	return nil
}

// remove removes the entries of a name or digest, and says whether there were any.
func (x *index) remove(ref string) bool {
	before := len(x.entries)
	d, is := registry.AsDigest(ref)
	x.entries = slices.DeleteFunc(x.entries, func(e entry) bool { return e.name() == ref || is && e.descriptor.Digest == d })
	return len(x.entries) < before
}
