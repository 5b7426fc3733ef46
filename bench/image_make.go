// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/layout"
)

// shape is what the image that is pulled and unpacked looks like.
type shape struct {
	layers int
	bytes  int64 // of the files of one layer
	source string
}

// largest is the size of the largest file that is taken: one that is a layer alone would tell little.
const largest = 32 << 20

// imageName is the name of the image, in its folder and in the registry.
const imageName = "bench"

// makeImage makes the image as an OCI image layout, unless it is there. The same files make the same image.
func makeImage(ctx context.Context, dir string, s shape) error {
	if _, err := os.Stat(dir); err == nil {
		return nil
	}
	groups, err := s.groups()
	if err != nil {
		return err
	}
	temp := dir + ".new"
	if err := os.RemoveAll(temp); err != nil {
		return err
	}
	l, err := layout.Open(temp)
	if err != nil {
		return err
	}
	config := ocispec.Image{Platform: registry.HostPlatform(), RootFS: ocispec.RootFS{Type: "layers"}}
	var layers []ocispec.Descriptor
	for _, files := range groups {
		d, id, err := registry.PushLayer(ctx, l, func(w io.Writer) error { return archive(w, files) })
		if err != nil {
			return fmt.Errorf("make the image: %w", err)
		}
		layers, config.RootFS.DiffIDs = append(layers, d), append(config.RootFS.DiffIDs, id)
	}
	d, err := registry.PushImage(ctx, l, config, layers, nil)
	if err != nil {
		return err
	}
	if err := l.Tag(ctx, d, imageName); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// groups lists the files of each layer: those of the source in the order of their paths, with the folders they are in.
func (s shape) groups() ([][]string, error) {
	var groups [][]string
	var group []string
	var size int64
	err := filepath.WalkDir(s.source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil || !(entry.IsDir() || info.Mode()&fs.ModeSymlink != 0 || info.Mode().IsRegular() && info.Size() <= largest) {
			return err
		}
		group = append(group, path)
		if info.Mode().IsRegular() {
			size += info.Size()
		}
		if size < s.bytes {
			return nil
		}
		groups, group, size = append(groups, group), nil, 0
		if len(groups) == s.layers {
			return fs.SkipAll
		}
		return nil
	})
	if err == nil && len(groups) < s.layers {
		err = fmt.Errorf("%s has not %d times %d bytes of files", s.source, s.layers, s.bytes)
	}
	return groups, err
}

// archive writes files as a tar.
func archive(w io.Writer, files []string) error {
	t := tar.NewWriter(w)
	for _, path := range files {
		if err := addFile(t, path); err != nil {
			return err
		}
	}
	return t.Close()
}

// addFile writes one file to a tar. Times are cut to seconds, as most tools that make layers do.
func addFile(t *tar.Writer, path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	h.Name, h.Uname, h.Gname = strings.TrimPrefix(path, "/"), "", ""
	h.Uid, h.Gid, h.ModTime, h.AccessTime, h.ChangeTime = int(owner.Uid), int(owner.Gid), info.ModTime().Truncate(time.Second), time.Time{}, time.Time{}
	if info.IsDir() {
		h.Name += "/"
	}
	if err := t.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(t, f)
	return err
}

// makeMany makes a state folder of stave's with many images, each with a configuration as large as they are in life and eight layers that
// all share. The names are written at once: to give them one by one would take longer than all that is timed.
func makeMany(ctx context.Context, state string, images int) error {
	l, err := layout.Open(filepath.Join(state, "images"))
	if err != nil {
		return err
	}
	var layers []ocispec.Descriptor
	now := time.Unix(1_700_000_000, 0).UTC()
	config := ocispec.Image{Created: &now, Platform: registry.HostPlatform(), RootFS: ocispec.RootFS{Type: "layers"}}
	config.Config.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"}
	for i := range 8 {
		d, err := registry.PushBytes(ctx, l, ocispec.MediaTypeImageLayer, fmt.Appendf(nil, "layer %d", i))
		if err != nil {
			return err
		}
		layers, config.RootFS.DiffIDs = append(layers, d), append(config.RootFS.DiffIDs, d.Digest)
		config.History = append(config.History, ocispec.History{Created: &now, CreatedBy: "RUN /bin/sh -c " + strings.Repeat("apt-get update && ", 8) + "true"})
	}
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	for i := range images {
		config.Author = fmt.Sprint(i)
		d, e := registry.PushImage(ctx, l, config, layers, nil)
		d.Annotations = map[string]string{ocispec.AnnotationRefName: fmt.Sprintf("docker.io/library/image-%d:latest", i)}
		index.Manifests, err = append(index.Manifests, d), errors.Join(err, e)
	}
	text, e := json.Marshal(index)
	return errors.Join(err, e, os.WriteFile(filepath.Join(l.Dir(), ocispec.ImageIndexFile), text, 0o644))
}
