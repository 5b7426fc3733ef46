// SPDX-License-Identifier: Apache-2.0

package credentials_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"stave/registry/credentials"
)

// A user logs in to a registry, uses it, and logs out.
func Example() {
	folder, err := os.MkdirTemp("", "credentials")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(folder)
	ctx := context.Background()
	s := credentials.Store{File: filepath.Join(folder, "config.json")}
	if err := s.Put(ctx, "registry.example", credentials.Credential{Username: "ann", Password: "secret"}); err != nil {
		fmt.Println(err)
	}
	c, err := s.Get(ctx, "registry.example/team/app")
	fmt.Println(c.Username, err)
	found, err := s.Erase(ctx, "registry.example")
	fmt.Println(found, err)
	// Output:
	// ann <nil>
	// true <nil>
}
