// SPDX-License-Identifier: Apache-2.0

package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// repositoriesView is the data of the first page.
type repositoriesView struct {
	frame
	Total int
	Rows  []repositoryRow
}

// repositoryRow is a repository in a list.
type repositoryRow struct {
	Name string
	Tags int
}

// repositoriesPage lists the repositories behind last.
func (s *Server) repositoriesPage(f frame, last string) (repositoriesView, error) {
	f.Title = "Repositories"
	names, err := s.names()
	if err != nil {
		return repositoriesView{}, err
	}
	v := repositoriesView{frame: f, Total: len(names)}
	names = names[after(names, last):]
	if len(names) > rowsOfPage {
		names = names[:rowsOfPage]
		v.Next = names[rowsOfPage-1]
	}
	for _, name := range names {
		index, err := s.repository(name).index()
		if err != nil { // it has just gone
			continue
		}
		v.Rows = append(v.Rows, repositoryRow{name, len(tagsOf(index))})
	}
	return v, nil
}

// repositoryView is the data of the page of a repository.
type repositoryView struct {
	frame
	Total int
	Rows  []manifestRow
}

// manifestRow is a manifest, or a part of one, in a table.
type manifestRow struct {
	Number    int
	Tag, Name string
	Digest    digest.Digest
	Short     string
	Kind      string
	Platforms []string
	Size      string
	Link      string
}

// rowKey is what the entries of an index are sorted by on a page: tags in the order of their bytes, then what has none.
func rowKey(entry ocispec.Descriptor) string {
	if name := tag(entry); name != "" {
		return name
	}
	return "~" + entry.Digest.String() // no tag starts with ~
}

// repositoryPage lists the manifests of a repository behind last.
func (s *Server) repositoryPage(f frame, r *repository, last string) (repositoryView, error) {
	index, err := r.index()
	if err != nil {
		return repositoryView{}, err
	}
	v := repositoryView{frame: f, Total: len(index.Manifests)}
	list := slices.Clone(index.Manifests)
	slices.SortFunc(list, func(a, b ocispec.Descriptor) int { return strings.Compare(rowKey(a), rowKey(b)) })
	from, found := slices.BinarySearchFunc(list, last, func(d ocispec.Descriptor, key string) int { return strings.Compare(rowKey(d), key) })
	if found {
		from++
	}
	list = list[from:]
	if len(list) > rowsOfPage {
		list = list[:rowsOfPage]
		v.Next = rowKey(list[rowsOfPage-1])
	}
	for _, entry := range list {
		row := manifestRow{Tag: tag(entry), Digest: entry.Digest, Short: short(entry.Digest), Kind: kindOf(entry.MediaType)}
		if m, err := r.parse(entry); err == nil {
			row.Platforms, row.Size = r.platforms(m), size(r.total(entry, m, map[digest.Digest]bool{}))
		}
		v.Rows = append(v.Rows, row)
	}
	return v, nil
}

// kindOf is what a person calls a media type.
func kindOf(mediaType string) string {
	switch {
	case registry.IsIndex(mediaType):
		return "index"
	case registry.IsManifest(mediaType):
		return "manifest"
	}
	return mediaType
}

// size is a number of bytes for people.
func size(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

// total is how many bytes a manifest and all below it have, each blob once.
func (r *repository) total(d ocispec.Descriptor, m manifest, seen map[digest.Digest]bool) int64 {
	if seen[d.Digest] {
		return 0
	}
	seen[d.Digest] = true
	sum := d.Size
	for _, part := range m.needs() {
		if isManifest(part.MediaType) && len(seen) < maxParts {
			child, _ := r.parse(part) // what isn't there has no parts
			sum += r.total(part, child, seen)
		} else if !seen[part.Digest] {
			seen[part.Digest] = true
			sum += part.Size
		}
	}
	return sum
}

// maxParts bounds the work for one row.
const maxParts = 1000

// platforms lists what an index or image is for.
func (r *repository) platforms(m manifest) []string {
	var list []string
	for _, d := range m.Manifests {
		if d.Platform != nil && d.Platform.OS != "unknown" { // which marks what is no image
			list = append(list, registry.FormatPlatform(*d.Platform))
		}
	}
	if config := r.config(m); config.OS != "" {
		list = append(list, registry.FormatPlatform(config.Platform))
	}
	return list
}

// config is the configuration of an image, empty for what is none.
func (r *repository) config(m manifest) ocispec.Image {
	var config ocispec.Image
	if m.Config == nil || !registry.IsConfig(m.Config.MediaType) {
		return config
	}
	text, err := r.read(m.Config.Digest)
	if err != nil || crowded(text) || json.Unmarshal(text, &config) != nil {
		return ocispec.Image{}
	}
	return config
}

// manifestView is the data of the page of a manifest.
type manifestView struct {
	frame
	Name, Digest, MediaType, Size, Created string
	Tags, Platforms                        []string
	Tables                                 []table
}

// table is a table on the page of a manifest.
type table struct {
	Caption, What string
	Rows          []manifestRow
}

// manifestPage shows a manifest: what it is made of, and what refers to it.
func (s *Server) manifestPage(f frame, r *repository, reference string) (manifestView, error) {
	d, err := r.resolve(reference)
	if err != nil {
		return manifestView{}, err
	}
	m, err := r.parse(d)
	if err != nil {
		return manifestView{}, err
	}
	index, err := r.index()
	if err != nil {
		return manifestView{}, err
	}
	config := r.config(m)
	v := manifestView{
		frame: f, Name: r.name, Digest: d.Digest.String(), MediaType: d.MediaType,
		Size: size(r.total(d, m, map[digest.Digest]bool{})), Platforms: r.platforms(m),
	}
	if config.Created != nil {
		v.Created = config.Created.UTC().Format(time.RFC3339)
	}
	for _, entry := range index.Manifests {
		if entry.Digest == d.Digest && tag(entry) != "" {
			v.Tags = append(v.Tags, tag(entry))
		}
	}
	slices.Sort(v.Tags)
	referrers, err := s.referrersOf(r, d.Digest)
	if err != nil {
		return manifestView{}, err
	}
	v.Tables = []table{
		{"Manifests", "Platform", r.rows(m.Manifests, platformName)},
		{"Layers, the lowest first", "Made by", r.rows(m.Layers, madeBy(config))},
		{"Configuration", "Kind", r.rows(configOf(m), func(int, ocispec.Descriptor) string { return "configuration" })},
		{"Manifests that refer to this one", "Artifact type", r.rows(referrers, func(_ int, d ocispec.Descriptor) string { return d.ArtifactType })},
	}
	return v, nil
}

// rows makes the rows of a table. Manifests are linked to their own page.
func (r *repository) rows(list []ocispec.Descriptor, name func(int, ocispec.Descriptor) string) []manifestRow {
	var rows []manifestRow
	for i, d := range list {
		row := manifestRow{Number: i + 1, Name: name(i, d), Digest: d.Digest, Short: short(d.Digest), Kind: d.MediaType, Size: size(d.Size)}
		if isManifest(d.MediaType) {
			row.Link = fmt.Sprintf("/repository/%s@%s", r.name, d.Digest)
		}
		rows = append(rows, row)
	}
	return rows
}

// configOf is the descriptor of a manifest's configuration, as a list.
func configOf(m manifest) []ocispec.Descriptor {
	if m.Config == nil {
		return nil
	}
	return []ocispec.Descriptor{*m.Config}
}

// platformName names a manifest of an index.
func platformName(_ int, d ocispec.Descriptor) string {
	if d.Platform == nil {
		return d.ArtifactType
	}
	return registry.FormatPlatform(*d.Platform)
}

// madeBy tells which step of the image's history made a layer, or the title that an artifact gives it.
func madeBy(config ocispec.Image) func(int, ocispec.Descriptor) string {
	var steps []string
	for _, step := range config.History {
		if !step.EmptyLayer {
			steps = append(steps, cmp.Or(step.CreatedBy, step.Comment))
		}
	}
	return func(i int, d ocispec.Descriptor) string {
		if title := d.Annotations[ocispec.AnnotationTitle]; title != "" {
			return title
		}
		if i < len(steps) {
			return steps[i]
		}
		return ""
	}
}
