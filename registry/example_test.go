// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"context"
	"fmt"
	"io"
	"log"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/memory"
)

// Make an image of one layer and copy it to another store.
func Example() {
	ctx := context.Background()
	source, destination := memory.New(), memory.New()
	layer, id, err := registry.PushLayer(ctx, source, func(w io.Writer) error {
		_, err := w.Write(make([]byte, 1024)) // a tar without files
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
	config := ocispec.Image{Platform: registry.HostPlatform(), RootFS: ocispec.RootFS{Type: "layers"}}
	config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, id)
	image, err := registry.PushImage(ctx, source, config, []ocispec.Descriptor{layer}, nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := source.Tag(ctx, image, "mine"); err != nil {
		log.Fatal(err)
	}
	_, err = registry.Copy(ctx, destination, "yours", source, "mine", registry.CopyOptions{
		Progress: func(e registry.Event) {
			if e.Stage == registry.Done {
				fmt.Println(e.Descriptor.MediaType)
			}
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// application/vnd.oci.image.config.v1+json
	// application/vnd.oci.image.layer.v1.tar+gzip
	// application/vnd.oci.image.manifest.v1+json
}

// A user's word for an image and its full name.
func ExampleParseReference() {
	named, err := registry.ParseReference("busybox")
	fmt.Println(named, err)
	fmt.Println(registry.Familiar(named.String()))
	// Output:
	// docker.io/library/busybox:latest <nil>
	// busybox:latest
}

// A 32-bit ARM of version 7 runs images for version 6.
func ExampleChoosePlatform() {
	there := []ocispec.Descriptor{
		{Platform: &ocispec.Platform{OS: "linux", Architecture: "amd64"}},
		{Platform: &ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v6"}},
	}
	want, err := registry.ParsePlatform("linux/arm/v7")
	if err != nil {
		log.Fatal(err)
	}
	chosen, err := registry.ChoosePlatform(there, want)
	fmt.Println(registry.FormatPlatform(*chosen.Platform), err)
	_, err = registry.ChoosePlatform(there, ocispec.Platform{OS: "linux", Architecture: "s390x"})
	fmt.Println(err)
	// Output:
	// linux/arm/v6 <nil>
	// no image for platform linux/s390x, there is linux/amd64, linux/arm/v6: not found
}
