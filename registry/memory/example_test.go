// SPDX-License-Identifier: Apache-2.0

package memory_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/memory"
)

// A store keeps only what is what it is said to be.
func Example() {
	ctx := context.Background()
	s := memory.New()
	d := ocispec.Descriptor{MediaType: "text/plain", Digest: digest.FromString("hello"), Size: 5}
	fmt.Println(errors.Is(s.Push(ctx, d, strings.NewReader("hallo")), registry.ErrDigest))
	fmt.Println(s.Push(ctx, d, strings.NewReader("hello")))
	text, err := registry.FetchAll(ctx, s, d)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", text)
	// Output:
	// true
	// <nil>
	// hello
}
