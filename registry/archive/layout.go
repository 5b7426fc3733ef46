// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"maps"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// containerdName is the annotation with a full name that Docker and containerd write, beside the one of the specification, which
// then has the tag only.
const containerdName = "io.containerd.image.name"

// readLayout reads an archive of the OCI form.
func (a *Archive) readLayout() error {
	a.layout = true
	text, err := a.tree.read(ocispec.ImageIndexFile)
	if err != nil {
		return err
	}
	var index ocispec.Index
	if err := decode(text, &index); err != nil {
		return fmt.Errorf("archive: index.json: %w", err)
	}
	for i, d := range index.Manifests {
		if err := registry.CheckDescriptor(d); err != nil {
			return fmt.Errorf("archive: manifest %d of index.json: %w", i, err)
		}
		a.names = append(a.names, named(d))
	}
	for name := range a.tree.files {
		folder, encoded := path.Split(name)
		algorithm, is := strings.CutPrefix(path.Clean(folder), "/blobs/")
		if d := digest.Digest(algorithm + ":" + encoded); is && d.Validate() == nil {
			a.blobs[d] = name
		}
	}
	return nil
}

// named is an entry of index.json with its name, the fullest that it has.
func named(d ocispec.Descriptor) registry.Named {
	n := registry.Named{Name: d.Annotations[ocispec.AnnotationRefName]}
	if full := d.Annotations[containerdName]; full != "" {
		n.Name = full
	}
	d.Annotations = maps.Clone(d.Annotations)
	delete(d.Annotations, ocispec.AnnotationRefName)
	delete(d.Annotations, containerdName)
	if len(d.Annotations) == 0 {
		d.Annotations = nil
	}
	n.Descriptor = d
	return n
}
