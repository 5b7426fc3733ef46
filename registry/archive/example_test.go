// SPDX-License-Identifier: Apache-2.0

package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"log"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/archive"
	"stave/registry/memory"
)

// Save an image to an archive, and load it from there.
func Example() {
	ctx := context.Background()
	source, destination := memory.New(), memory.New()
	d, err := registry.PushImage(ctx, source, ocispec.Image{Platform: registry.HostPlatform()}, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	var file bytes.Buffer
	images := []registry.Named{{Name: "docker.io/library/empty:latest", Descriptor: d}}
	if err := archive.Write(ctx, &file, source, images, archive.WriteOptions{}); err != nil {
		log.Fatal(err)
	}
	a, err := archive.Open(ctx, &file, archive.OpenOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer a.Close()
	for _, image := range a.Names() {
		_, err := registry.Copy(ctx, destination, image.Name, a, image.Name, registry.CopyOptions{Sparse: true})
		fmt.Println(image.Name, err)
	}
	// Output:
	// docker.io/library/empty:latest <nil>
}
