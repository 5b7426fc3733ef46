// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// Form is one of the two kinds of archives.
type Form int

// The forms. An archive of the Docker form has no manifests, and its layers are not compressed; configurations, and so IDs and
// diff IDs, stay the same. An archive of the OCI form has everything as it is.
const (
	Docker Form = iota
	OCI
)

// WriteOptions are the choices of writing an archive.
type WriteOptions struct {
	Form Form
	// Platform chooses from an index. Nil means this machine's in the Docker form, which has room for one, and all that the source has in the
	// OCI form.
	Platform *ocispec.Platform
	// Progress is told what is written; a layer counts uncompressed in the Docker form.
	Progress func(registry.Event)
}

// writing is one archive that is written.
type writing struct {
	src   registry.Store
	o     WriteOptions
	items map[string]item // by path
	index []ocispec.Descriptor
	saved []saved
	tops  map[string]map[string]string // repository, tag: what repositories has
}

// item is a file of the archive.
type item struct {
	descriptor ocispec.Descriptor
	open       func(context.Context) (io.ReadCloser, error)
}

// Write writes images to an archive, each once, with the names that it has among images; a Name may be empty. The same images give the
// same bytes.
func Write(ctx context.Context, to io.Writer, src registry.Store, images []registry.Named, o WriteOptions) (err error) {
	if len(images) == 0 {
		return errors.New("an archive needs an image")
	}
	src, release, err := registry.Hold(ctx, src)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	if o.Progress == nil {
		o.Progress = func(registry.Event) {}
	}
	w := &writing{src: src, o: o, items: map[string]item{}, tops: map[string]map[string]string{}}
	for _, group := range grouped(images) {
		if err := w.add(ctx, group); err != nil {
			return err
		}
	}
	if err := w.addTables(); err != nil {
		return err
	}
	return w.write(ctx, to)
}

// group is a manifest or index with all its names.
type group struct {
	descriptor ocispec.Descriptor
	names      []string
}

// grouped joins the names of the same digest.
func grouped(images []registry.Named) []*group {
	var all []*group
	for _, image := range images {
		i := slices.IndexFunc(all, func(g *group) bool { return g.descriptor.Digest == image.Descriptor.Digest })
		if i < 0 {
			i = len(all)
			all = append(all, &group{descriptor: image.Descriptor})
		}
		if image.Name != "" && !slices.Contains(all[i].names, image.Name) {
			all[i].names = append(all[i].names, image.Name)
		}
	}
	return all
}

// add adds what an image or index needs.
func (w *writing) add(ctx context.Context, g *group) error {
	d := g.descriptor
	if has, err := w.src.Exists(ctx, d); err != nil || !has { // through a lease, it stays
		return errors.Join(err, fmt.Errorf("save %s: %w", d.Digest, registry.ErrNotFound))
	}
	platform := w.o.Platform
	if here := registry.HostPlatform(); platform == nil && w.o.Form == Docker {
		platform = &here
	}
	if platform != nil {
		var err error
		if d, err = registry.ResolvePlatform(ctx, w.src, d, *platform); err != nil {
			return err
		}
	}
	if w.o.Form == Docker {
		return w.addDocker(ctx, d, g.names)
	}
	return w.addOCI(ctx, d, g.names)
}

// addOCI adds everything below a manifest or index, as it is.
func (w *writing) addOCI(ctx context.Context, d ocispec.Descriptor, names []string) error {
	work := []ocispec.Descriptor{d}
	for len(work) > 0 {
		b := work[0]
		work = work[1:]
		if _, has := w.items[blobPath(b.Digest)]; has {
			continue
		}
		w.items[blobPath(b.Digest)] = item{b, w.fetch(b)}
		below, err := registry.Present(ctx, w.src, b)
		if err != nil {
			return fmt.Errorf("save %s: %w", d.Digest, err)
		}
		work = append(work, below...)
	}
	w.list(d, names)
	return nil
}

// list adds a manifest to index.json, once for each name.
func (w *writing) list(d ocispec.Descriptor, names []string) {
	d.Data = nil
	if len(names) == 0 {
		w.index = append(w.index, d)
	}
	for _, name := range names {
		entry := d
		entry.Annotations = map[string]string{ocispec.AnnotationRefName: name}
		if named, err := registry.ParseReference(name); err == nil && named.String() == name {
			entry.Annotations[containerdName] = name
		}
		for key, value := range d.Annotations {
			if key != ocispec.AnnotationRefName && key != containerdName {
				entry.Annotations[key] = value
			}
		}
		w.index = append(w.index, entry)
	}
}

// addTables adds the files that list the images.
func (w *writing) addTables() error {
	tables := map[string]any{"manifest.json": w.saved, "repositories": w.tops}
	if w.o.Form == OCI {
		tables = map[string]any{
			ocispec.ImageIndexFile:  ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: w.index},
			ocispec.ImageLayoutFile: ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion},
		}
	}
	for name, table := range tables {
		data, err := json.Marshal(table)
		if err != nil {
			return fmt.Errorf("save %s: %w", name, err)
		}
		w.items[name] = item{ocispec.Descriptor{Size: int64(len(data))}, inMemory(data)}
	}
	return nil
}

// fetch opens a blob of the source.
func (w *writing) fetch(d ocispec.Descriptor) func(context.Context) (io.ReadCloser, error) {
	return func(ctx context.Context) (io.ReadCloser, error) { return w.src.Fetch(ctx, d) }
}

// blobPath is the path of a blob in an archive of the OCI form.
func blobPath(d digest.Digest) string {
	return path.Join(ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

// inMemory opens bytes.
func inMemory(data []byte) func(context.Context) (io.ReadCloser, error) {
	return func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }
}

// write writes folders and files in the order of their names, all of the year 1970 and of root.
func (w *writing) write(ctx context.Context, to io.Writer) error {
	names := map[string]bool{}
	for name := range w.items {
		for ; name != "."; name = path.Dir(name) {
			names[name] = true
		}
	}
	t := tar.NewWriter(to)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		var err error
		if i, is := w.items[name]; is {
			err = w.writeItem(ctx, t, name, i)
		} else {
			err = t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: time.Unix(0, 0)})
		}
		if err != nil {
			return fmt.Errorf("save %s: %w", name, err)
		}
	}
	return t.Close()
}

// writeItem writes one file.
func (w *writing) writeItem(ctx context.Context, t *tar.Writer, name string, i item) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: i.descriptor.Size, ModTime: time.Unix(0, 0)}
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	r, err := i.open(ctx)
	if err != nil {
		return err
	}
	defer r.Close()
	if i.descriptor.Digest == "" { // no blob
		_, err := io.Copy(t, r)
		return err
	}
	return w.copy(ctx, t, r, i.descriptor)
}

// copy copies a blob and tells of it.
func (w *writing) copy(ctx context.Context, t io.Writer, r io.Reader, d ocispec.Descriptor) error {
	w.o.Progress(registry.Event{Stage: registry.Started, Descriptor: d})
	buffer := make([]byte, 256<<10)
	for offset := int64(0); ; {
		n, err := until{ctx, r}.Read(buffer)
		if _, failed := t.Write(buffer[:n]); failed != nil {
			return failed
		}
		if offset += int64(n); n > 0 {
			w.o.Progress(registry.Event{Stage: registry.Progressed, Descriptor: d, Offset: offset})
		}
		if err == io.EOF {
			w.o.Progress(registry.Event{Stage: registry.Done, Descriptor: d, Offset: offset})
			return nil
		}
		if err != nil {
			return err
		}
	}
}
