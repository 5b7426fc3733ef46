// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"archive/tar"
	"io"
	"maps"
	"slices"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// Files pushes an image that other programs can unpack: each layer is a gzip of a tar with these files.
func Files(t testing.TB, s registry.Store, layers ...map[string]string) ocispec.Descriptor {
	t.Helper()
	created := time.Unix(1_700_000_000, 0).UTC()
	config := ocispec.Image{Created: &created, Platform: registry.HostPlatform(), RootFS: ocispec.RootFS{Type: "layers"}}
	config.Config.Cmd = []string{"/bin/sh"}
	var descriptors []ocispec.Descriptor
	for _, files := range layers {
		d, id, err := registry.PushLayer(t.Context(), s.(registry.Ingester), func(w io.Writer) error { return writeTar(w, files) })
		if err != nil {
			t.Fatal(err)
		}
		descriptors = append(descriptors, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, id)
		config.History = append(config.History, ocispec.History{Created: &created, CreatedBy: "storetest"})
	}
	d, err := registry.PushImage(t.Context(), s, config, descriptors, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// writeTar writes files as a tar.
func writeTar(w io.Writer, files map[string]string) error {
	t := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: time.Unix(1_700_000_000, 0)}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.WriteString(t, files[name]); err != nil {
			return err
		}
	}
	return t.Close()
}
