// SPDX-License-Identifier: Apache-2.0

package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
	"stave/registry/archive"
	"stave/registry/memory"
	"stave/registry/storetest"
)

// entry is one entry of a tar: a file, or with a target a link.
type entry struct {
	name, text string
	kind       byte
	target     string
}

// pack makes a tar.
func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	for _, e := range entries {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: e.name, Mode: 0o644, Size: int64(len(e.text))}
		if e.kind != 0 {
			h.Typeflag, h.Linkname, h.Size = e.kind, e.target, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, e.text); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return data.Bytes()
}

// old is an image as Docker before version 25 saves it: the second layer is that of another image, by a link.
func old(layer string, link entry) []entry {
	id := digest.FromString(layer)
	config := fmt.Sprintf(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[%q,%q]}}`, id, id)
	hex := digest.FromString(config).Encoded()
	return []entry{
		{name: "aaa/VERSION", text: "1.0"},
		{name: "aaa/json", text: "{}"},
		{name: "aaa/layer.tar", text: layer},
		{name: "bbb/VERSION", text: "1.0"},
		{name: "bbb/json", text: "{}"},
		link,
		{name: hex + ".json", text: config},
		{name: "manifest.json", text: `[{"Config":"` + hex + `.json","RepoTags":["old:1"],"Layers":["aaa/layer.tar","bbb/layer.tar"]}]`},
		{name: "repositories", text: `{"old":{"1":"bbb"}}`},
	}
}

// TestOldForm reads the form with VERSION, json and layer.tar, with links of all kinds in it.
func TestOldForm(t *testing.T) {
	layer := string(pack(t, entry{name: "file", text: "text"}))
	var compressed bytes.Buffer
	z := gzip.NewWriter(&compressed)
	_, _ = io.WriteString(z, layer)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	links := map[string]entry{
		"the same again":      {name: "bbb/layer.tar", text: layer},
		"symbolic link":       {name: "bbb/layer.tar", kind: tar.TypeSymlink, target: "../aaa/layer.tar"},
		"absolute link":       {name: "bbb/layer.tar", kind: tar.TypeSymlink, target: "/aaa/layer.tar"},
		"link out and in":     {name: "bbb/layer.tar", kind: tar.TypeSymlink, target: "../../../../aaa/layer.tar"},
		"hard link":           {name: "bbb/layer.tar", kind: tar.TypeLink, target: "aaa/layer.tar"},
		"hard link, with dot": {name: "./bbb/layer.tar", kind: tar.TypeLink, target: "./aaa/layer.tar"},
		"compressed":          {name: "bbb/layer.tar", text: compressed.String()},
	}
	for name, link := range links {
		t.Run(name, func(t *testing.T) {
			a := read(t, pack(t, old(layer, link)...))
			if names := a.Names(); len(names) != 1 || names[0].Name != "docker.io/library/old:1" {
				t.Fatalf("names: %+v", names)
			}
			dst := memory.New()
			d, err := registry.Copy(t.Context(), dst, "x", a, "old:1", registry.CopyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			storetest.Same(t, dst, d)
			image, err := registry.FetchImage(t.Context(), dst, d)
			if err != nil || len(image.Manifest.Layers) != 2 || image.Manifest.Layers[0].Digest != digest.FromString(layer) {
				t.Errorf("%+v, %v", image.Manifest, err)
			}
			if name == "compressed" && image.Manifest.Layers[1].Digest != digest.FromBytes(compressed.Bytes()) {
				t.Errorf("the compressed layer is %+v", image.Manifest.Layers[1])
			}
			again := read(t, write(t, dst, []registry.Named{{Name: "docker.io/library/old:1", Descriptor: d}}, archive.WriteOptions{}))
			storetest.Same(t, again, again.Names()[0].Descriptor)
		})
	}
}

// TestNewForm reads what Docker from version 25 saves: both forms in one, where index.json has the full name in another annotation,
// and with some image stores an index of which the other platforms are missing.
func TestNewForm(t *testing.T) {
	s := memory.New()
	layer := string(pack(t, entry{name: "file", text: "text"}))
	here := storetest.Sample(t, s, "linux/amd64", []byte(layer))
	top := storetest.Index(t, s, here, storetest.Sample(t, memory.New(), "linux/arm64", []byte("elsewhere")))
	image := fetched(t, s, here)
	entries := []entry{{name: "oci-layout", text: `{"imageLayoutVersion":"1.0.0"}`}}
	path := func(d digest.Digest) string { return "blobs/sha256/" + d.Encoded() }
	for _, d := range []ocispec.Descriptor{top, here, image.Manifest.Config, image.Manifest.Layers[0]} {
		data, err := registry.FetchAll(t.Context(), s, d)
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, entry{name: path(d.Digest), text: string(data)})
	}
	entries = append(entries,
		entry{name: "index.json", text: fmt.Sprintf(`{"schemaVersion":2,"manifests":[{"mediaType":%q,"digest":%q,"size":%d,
			"annotations":{"io.containerd.image.name":"docker.io/library/new:1","org.opencontainers.image.ref.name":"1"}}]}`, top.MediaType, top.Digest, top.Size)},
		entry{name: "manifest.json", text: fmt.Sprintf(`[{"Config":%q,"RepoTags":["new:1"],"Layers":[%q]}]`, path(image.Manifest.Config.Digest), path(image.Manifest.Layers[0].Digest))},
		entry{name: "repositories", text: `{}`})
	a := read(t, pack(t, entries...))
	if names := a.Names(); len(names) != 1 || names[0].Name != "docker.io/library/new:1" || names[0].Descriptor.Annotations != nil {
		t.Errorf("names: %+v", names)
	}
	dst := memory.New()
	d, err := registry.Copy(t.Context(), dst, "x", a, "new:1", registry.CopyOptions{Sparse: true})
	if err != nil || d.Digest != top.Digest {
		t.Fatalf("copy: %s, %v", d.Digest, err)
	}
	storetest.Same(t, dst, here)
}

// TestHostile opens archives that want to lead out, round in circles, or into too much.
func TestHostile(t *testing.T) {
	layer := string(pack(t, entry{name: "file", text: "text"}))
	wrong := old(layer, entry{name: "bbb/layer.tar", kind: tar.TypeLink, target: "aaa/layer.tar"})
	wrong[2].text = strings.Replace(layer, "text", "test", 1)
	chain := []entry{{name: "bbb/layer.tar", kind: tar.TypeSymlink, target: "../l0"}}
	for i := range 20 {
		chain = append(chain, entry{name: fmt.Sprintf("l%d", i), kind: tar.TypeSymlink, target: fmt.Sprintf("l%d", i+1)})
	}
	large := strings.Repeat(" ", registry.MaxManifest+1)
	tests := map[string]struct {
		entries []entry
		says    string
	}{
		"empty":                    {nil, "neither manifest.json nor oci-layout"},
		"root file system":         {[]entry{{name: "bin/sh", text: "x"}}, "is imported, not loaded"},
		"before manifest.json":     {[]entry{{name: "repositories", text: "{}"}}, "Docker before 1.10"},
		"link to the machine":      {old(layer, entry{name: "bbb/layer.tar", kind: tar.TypeSymlink, target: "/etc/passwd"}), `no file "bbb/layer.tar"`},
		"link out":                 {old(layer, entry{name: "bbb/layer.tar", kind: tar.TypeSymlink, target: "../../../../etc/passwd"}), `no file "bbb/layer.tar"`},
		"hard link out":            {old(layer, entry{name: "bbb/layer.tar", kind: tar.TypeLink, target: "../etc/passwd"}), `no file "bbb/layer.tar"`},
		"link to itself":           {old(layer, entry{name: "bbb/layer.tar", kind: tar.TypeSymlink, target: "layer.tar"}), "more than 8 links"},
		"many links":               {append(chain, old(layer, chain[0])...), "more than 8 links"},
		"layer missing":            {old(layer, entry{name: "ccc", text: "x"}), `no file "bbb/layer.tar"`},
		"wrong layer":              {wrong, "wrong digest"},
		"manifest.json no list":    {[]entry{{name: "manifest.json", text: "{}"}}, "manifest.json"},
		"manifest.json too large":  {[]entry{{name: "manifest.json", text: large}}, "at most 4194304 are read"},
		"configuration elsewhere":  {[]entry{{name: "manifest.json", text: `[{"Config":"../../etc/passwd"}]`}}, `no file "../../etc/passwd"`},
		"configuration no JSON":    {[]entry{{name: "c", text: "x"}, {name: "manifest.json", text: `[{"Config":"c"}]`}}, "invalid character"},
		"more layers than diffs":   {[]entry{{name: "c", text: "{}"}, {name: "manifest.json", text: `[{"Config":"c","Layers":["c"]}]`}}, "1 layers but 0 diff IDs"},
		"name that is none":        {[]entry{{name: "c", text: "{}"}, {name: "manifest.json", text: `[{"Config":"c","RepoTags":["../x:y"]}]`}}, `"../x:y"`},
		"index.json no JSON":       {[]entry{{name: "oci-layout", text: "{}"}, {name: "index.json", text: "x"}}, "index.json"},
		"index.json with a path":   {[]entry{{name: "oci-layout", text: "{}"}, {name: "index.json", text: `{"manifests":[{"digest":"sha256:../x"}]}`}}, "sha256:../x"},
		"index.json without blobs": {[]entry{{name: "oci-layout", text: "{}"}, {name: "index.json", text: `{"manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + digest.FromString("x").String() + `","size":1}]}`}}, "not found"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a, err := archive.Open(t.Context(), bytes.NewReader(pack(t, test.entries...)), archive.OpenOptions{TempDir: t.TempDir()})
			if err == nil {
				defer a.Close()
				_, err = registry.Copy(t.Context(), memory.New(), "x", a, "", registry.CopyOptions{})
			}
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want %q", err, test.says)
			}
		})
	}
}

// TestCut opens archives that end too early, everywhere.
func TestCut(t *testing.T) {
	layer := string(pack(t, entry{name: "file", text: "text"}))
	whole := pack(t, old(layer, entry{name: "bbb/layer.tar", text: layer})...)
	for cut := 0; cut < len(whole)-1024; cut += 256 { // the last blocks are empty
		a, err := archive.Open(t.Context(), bytes.NewReader(whole[:cut]), archive.OpenOptions{TempDir: t.TempDir()})
		if err != nil {
			continue
		}
		_, err = registry.Copy(t.Context(), memory.New(), "x", a, "", registry.CopyOptions{})
		a.Close()
		if err != nil && !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("cut at %d of %d: %v", cut, len(whole), err)
		}
	}
}

// FuzzOpen opens any bytes, and copies what is in them: what arrives is whole.
func FuzzOpen(f *testing.F) {
	layer := string(pack(f, entry{name: "file", text: "text"}))
	f.Add(pack(f, old(layer, entry{name: "bbb/layer.tar", kind: tar.TypeSymlink, target: "../aaa/layer.tar"})...))
	f.Add(pack(f, old(layer, entry{name: "bbb/layer.tar", kind: tar.TypeLink, target: "aaa/layer.tar"})...))
	s, images := two(f)
	f.Add(write(f, s, images[:1], archive.WriteOptions{}))
	f.Add(write(f, s, images, archive.WriteOptions{Form: archive.OCI}))
	f.Add([]byte("\x1f\x8b"))
	f.Add([]byte{})
	temp := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := archive.Open(t.Context(), bytes.NewReader(data), archive.OpenOptions{TempDir: temp, MaxBytes: 1 << 20})
		if err != nil {
			return
		}
		defer a.Close()
		for _, n := range a.Names() {
			dst := memory.New()
			d, err := registry.Copy(t.Context(), dst, "x", a, n.Descriptor.Digest.String(), registry.CopyOptions{})
			if err == nil {
				storetest.Same(t, dst, d)
			}
		}
	})
}

// TestCrowded opens archives with long names, many entries of one name, and many manifests in few bytes.
func TestCrowded(t *testing.T) {
	long := strings.Repeat("x", 4097)
	crowd := `[{}` + strings.Repeat(",{}", 50_000) + `]`
	for name, test := range map[string]struct {
		data []byte
		says string
	}{
		"name":          {pack(t, entry{name: long, text: "x"}), "more than 4096 bytes"},
		"link":          {pack(t, entry{name: "x", kind: tar.TypeSymlink, target: long}), "more than 4096 bytes"},
		"one name":      {bytes.Repeat(pack(t, entry{name: "x", kind: tar.TypeDir})[:512], 200_001), "more than 200000 files"},
		"index.json":    {pack(t, entry{name: "oci-layout", text: "{}"}, entry{name: "index.json", text: `{"manifests":` + crowd + `}`}), "more than 40000 objects"},
		"manifest.json": {pack(t, entry{name: "manifest.json", text: crowd}), "more than 40000 objects"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := archive.Open(t.Context(), bytes.NewReader(test.data), archive.OpenOptions{TempDir: t.TempDir()})
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Errorf("error %v, want %q", err, test.says)
			}
		})
	}
}

// TestSilent opens an archive that comes from a pipe into which nobody writes, until that is cancelled.
func TestSilent(t *testing.T) {
	for name, head := range map[string]string{"at once": "", "after a while": "some bytes"} {
		t.Run(name, func(t *testing.T) {
			silent, w := io.Pipe()
			defer w.Close()
			ctx, cancel := context.WithCancelCause(t.Context())
			enough := errors.New("enough")
			reached := readerFunc(func(p []byte) (int, error) {
				cancel(enough)
				return silent.Read(p)
			})
			r := io.MultiReader(strings.NewReader(head), reached)
			if _, err := archive.Open(ctx, r, archive.OpenOptions{TempDir: t.TempDir()}); !errors.Is(err, enough) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// readerFunc is a reader that is a function.
type readerFunc func([]byte) (int, error)

// Read calls it.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestLayerHashedOnce opens a regular file with a compressed layer that many images have.
func TestLayerHashedOnce(t *testing.T) {
	layer := string(pack(t, entry{name: "file", text: strings.Repeat("text", 1<<20)}))
	var compressed bytes.Buffer
	z, err := gzip.NewWriterLevel(&compressed, gzip.NoCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(z, layer)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	config := `{"rootfs":{"diff_ids":["` + digest.FromString(layer).String() + `"]}}`
	images := strings.Repeat(`,{"Config":"c","Layers":["link"]}`, 100)
	data := pack(t, entry{name: "layer", text: compressed.String()}, entry{name: "link", kind: tar.TypeSymlink, target: "layer"},
		entry{name: "c", text: config}, entry{name: "manifest.json", text: `[` + images[1:] + `]`})
	path := filepath.Join(t.TempDir(), "archive.tar")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	before := bytesRead(t)
	a, err := archive.Open(t.Context(), f, archive.OpenOptions{})
	if err != nil || len(a.Names()) != 100 {
		t.Fatal(err)
	}
	if n := bytesRead(t) - before; n > 2*len(data) {
		t.Errorf("%d bytes were read of an archive that has %d", n, len(data))
	}
}

// bytesRead is how many bytes this process has read (proc_pid_io(5)).
func bytesRead(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscanf(string(text), "rchar: %d", &n); err != nil {
		t.Fatal(err)
	}
	return n
}
