// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"runtime"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/layout"
	"stave/unionfs/layer"
)

// This file makes an image of folders: layers, a configuration and a manifest, each a file with the digest of its bytes for a name.

// name is what the image is called: users say "lesson", files say it in full.
const name = "docker.io/library/lesson:latest"

// digestOf is the whole idea: a name that nobody has to give and that no other bytes have.
func digestOf(data []byte) digest.Digest {
	return digest.Digest(fmt.Sprintf("sha256:%x", sha256.Sum256(data)))
}

// makeImage makes the image of a stack's layers in a layout.
func makeImage(ctx context.Context, l *layout.Layout, s stack) error {
	config := ocispec.Image{
		Platform: ocispec.Platform{OS: runtime.GOOS, Architecture: runtime.GOARCH},
		Config:   ocispec.ImageConfig{Cmd: []string{"sh", "-c", look}, Env: []string{"PATH=/bin"}},
		RootFS:   ocispec.RootFS{Type: "layers"},
	}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, folder := range layers() {
		archive, err := pack(ctx, s.path(folder))
		if err != nil {
			return err
		}
		blob, err := compress(archive, gzip.BestCompression)
		if err != nil {
			return err
		}
		d, err := push(ctx, l, ocispec.MediaTypeImageLayerGzip, blob)
		if err != nil {
			return err
		}
		manifest.Layers = append(manifest.Layers, d)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digestOf(archive))
	}
	text, err := json.Marshal(config)
	if err != nil {
		return err
	}
	if manifest.Config, err = push(ctx, l, ocispec.MediaTypeImageConfig, text); err != nil {
		return err
	}
	if text, err = json.Marshal(manifest); err != nil {
		return err
	}
	d, err := push(ctx, l, ocispec.MediaTypeImageManifest, text)
	if err != nil {
		return err
	}
	return l.Tag(ctx, d, name)
}

// pack makes the archive of a layer: a tar in which overlay's marks have the form that images have for them (a whiteout for motd is an empty file
// .wh.motd).
func pack(ctx context.Context, folder string) ([]byte, error) {
	var archive bytes.Buffer
	err := layer.Pack(ctx, &archive, folder, options())
	return archive.Bytes(), err
}

// options are those of an ordinary user, unless root runs the step: his marks have other names, and all files are his.
func options() layer.Options {
	return layer.Options{UserXattr: prefix() == "user.overlay.", SkipOwners: prefix() == "user.overlay."}
}

// compress makes the archive smaller. How small is the program's choice, so many blobs are the same archive.
func compress(archive []byte, level int) ([]byte, error) {
	var blob bytes.Buffer
	z, err := gzip.NewWriterLevel(&blob, level)
	if err != nil {
		return nil, err
	}
	if _, err := z.Write(archive); err != nil {
		return nil, err
	}
	err = z.Close()
	return blob.Bytes(), err
}

// push puts bytes into a store and returns what others need to name them: media type, digest, size.
func push(ctx context.Context, s registry.Store, mediaType string, data []byte) (ocispec.Descriptor, error) {
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digestOf(data), Size: int64(len(data))}
	return d, s.Push(ctx, d, bytes.NewReader(data))
}
