// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"context"
	"fmt"
	"log"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/layout"
)

// Keep an image in a folder, give it a second name, take both away, and collect.
func Example() {
	dir, err := os.MkdirTemp("", "images-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	l, err := layout.Open(dir)
	if err != nil {
		log.Fatal(err)
	}
	d, err := registry.PushImage(ctx, l, ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}, nil, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, name := range []string{"docker.io/library/empty:latest", "docker.io/library/empty:1.0"} {
		if err := l.Tag(ctx, d, name); err != nil {
			log.Fatal(err)
		}
	}
	for name, err := range l.Tags(ctx) {
		fmt.Println(name, err)
	}
	if err := l.Delete(ctx, d.Digest.String()); err != nil {
		log.Fatal(err)
	}
	collected, err := l.Collect(ctx)
	fmt.Println(collected.Blobs, "blobs removed,", err)
	// Output:
	// docker.io/library/empty:1.0 <nil>
	// docker.io/library/empty:latest <nil>
	// 2 blobs removed, <nil>
}
