// SPDX-License-Identifier: Apache-2.0

package images

import (
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// Details are what docker image inspect shows, under the same names (Docker Engine API 1.50, ImageInspect), as far as it is known here: when
// an image got its last name is not.
type Details struct {
	ID            string `json:"Id"`
	RepoTags      []string
	RepoDigests   []string
	Parent        string
	Comment       string
	Created       string `json:",omitempty"`
	DockerVersion string
	Author        string
	Config        Settings
	Architecture  string
	Variant       string `json:",omitempty"`
	Os            string
	OsVersion     string `json:",omitempty"`
	Size          int64
	GraphDriver   GraphDriver
	RootFS        RootFS
	Descriptor    ocispec.Descriptor
}

// GraphDriver tells where the unpacked layers are. It has no Name: all drivers use the same layers, and each container has its own.
type GraphDriver struct {
	Data map[string]string
}

// RootFS lists the diff IDs of the layers.
type RootFS struct {
	Type   string
	Layers []digest.Digest `json:",omitempty"`
}

// Inspect tells all about an image.
func (s *Images) Inspect(image *Image) Details {
	c := image.Config
	d := Details{
		ID: image.ID.String(), RepoTags: familiar(image.Names), RepoDigests: familiar(image.Digests),
		Comment: c.Comment, DockerVersion: c.DockerVersion, Author: c.Author, Config: c.Config,
		Architecture: c.Architecture, Variant: c.Variant, Os: c.OS, OsVersion: c.OSVersion,
		Size: image.Size, RootFS: RootFS{Type: "layers", Layers: c.RootFS.DiffIDs},
		GraphDriver: s.graph(image), Descriptor: image.Manifest,
	}
	if last := len(c.History) - 1; d.Comment == "" && last >= 0 {
		d.Comment = c.History[last].Comment
	}
	if c.Created != nil {
		d.Created = c.Created.Format(time.RFC3339Nano)
	}
	return d
}

// familiar shortens names.
func familiar(names []string) []string {
	list := make([]string, len(names))
	for i, name := range names {
		list[i] = registry.Familiar(name)
	}
	return list
}

// graph tells where the unpacked layers of an image are, the highest first, as overlay's options have them.
func (s *Images) graph(image *Image) GraphDriver {
	var lower []string
	upper := ""
	for _, id := range image.Chain() {
		layer, err := s.layers.Get(id)
		if err != nil {
			continue // not unpacked
		}
		if upper != "" {
			lower = append([]string{upper}, lower...)
		}
		upper = layer.Path
	}
	g := GraphDriver{Data: map[string]string{}}
	if upper != "" {
		g.Data["UpperDir"] = upper
	}
	if len(lower) > 0 {
		g.Data["LowerDir"] = strings.Join(lower, ":")
	}
	return g
}
