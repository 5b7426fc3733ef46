// SPDX-License-Identifier: Apache-2.0

package layout_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"stave/registry"
	"stave/registry/layout"
	"stave/registry/storetest"
)

// fillImages puts images into a layout, each with a configuration as large as they are in life, without syncing each.
func fillImages(t testing.TB, l *layout.Layout, images int) {
	t.Helper()
	now := time.Unix(1_700_000_000, 0).UTC()
	for i := range images {
		var layers []ocispec.Descriptor
		config := ocispec.Image{Created: &now, Author: fmt.Sprint(i), Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}, RootFS: ocispec.RootFS{Type: "layers"}}
		for j := range 8 {
			d := storetest.Describe(fmt.Appendf(nil, "layer %d", j))
			layers = append(layers, d)
			config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, d.Digest)
			config.History = append(config.History, ocispec.History{Created: &now, CreatedBy: "RUN /bin/sh -c apt-get update && apt-get install -y --no-install-recommends ca-certificates curl gnupg && rm -rf /var/lib/apt/lists/*"})
			if i == 0 {
				if err := l.Push(t.Context(), d, strings.NewReader(fmt.Sprintf("layer %d", j))); err != nil {
					t.Fatal(err)
				}
			}
		}
		config.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
		d, err := registry.PushImage(t.Context(), l, config, layers, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Tag(t.Context(), d, fmt.Sprintf("docker.io/library/image-%d:latest", i)); err != nil {
			t.Fatal(err)
		}
	}
}

// BenchmarkList opens a layout with 1,000 images and reads the manifest and the configuration of each.
func BenchmarkList(b *testing.B) {
	dir := b.TempDir()
	fillImages(b, open(b, dir), 1000)
	var before, after unix.Rusage
	_ = unix.Getrusage(0, &before)
	for b.Loop() {
		l := open(b, dir)
		names, err := l.Names(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		var readers sync.WaitGroup
		for worker := range 4 {
			readers.Go(func() {
				for i := worker; i < len(names); i += 4 {
					if _, err := registry.FetchImage(b.Context(), l, names[i].Descriptor); err != nil {
						b.Error(err)
					}
				}
			})
		}
		readers.Wait()
	}
	_ = unix.Getrusage(0, &after)
	b.ReportMetric(float64(after.Utime.Nano()-before.Utime.Nano())/float64(b.N)/1e6, "user-ms")
	b.ReportMetric(float64(after.Stime.Nano()-before.Stime.Nano())/float64(b.N)/1e6, "sys-ms")
}
