// SPDX-License-Identifier: Apache-2.0

package remote_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"

	"stave/registry"
	"stave/registry/memory"
	"stave/registry/remote"
	"stave/registry/server"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An image is copied from memory to a registry, which is a push, and its tags are listed.
func Example() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "registry")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	handler, err := server.Open(folder, server.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer handler.Close()
	web := httptest.NewServer(handler)
	defer web.Close()

	source := memory.New()
	image, err := registry.PushImage(ctx, source, ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}, nil, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	name, err := registry.ParseReference(strings.TrimPrefix(web.URL, "http://") + "/team/app:v1")
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &remote.Client{}
	repository, err := client.Repository(name)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := registry.Copy(ctx, repository, "v1", source, image.Digest.String(), registry.CopyOptions{}); err != nil {
		fmt.Println(err)
	}
	for tag, err := range repository.Tags(ctx) {
		fmt.Println(tag, err)
	}
	client.CloseIdle()
	// Output:
	// v1 <nil>
}
