// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// manifests is a registry of manifests.
type manifests struct {
	*fake
	mutex     sync.Mutex
	texts     map[string][]byte // by tag and digest
	types     map[string]string
	referrers bool // it knows subjects
}

// serveManifests starts it.
func serveManifests(t *testing.T) *manifests {
	s := &manifests{texts: map[string][]byte{}, types: map[string]string{}}
	s.fake = serve(t, s.handle)
	return s
}

// handle answers a request.
func (s *manifests) handle(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	ref, isManifest := strings.CutPrefix(r.URL.Path, "/v2/app/manifests/")
	text, found := s.texts[ref]
	switch {
	case r.URL.Path == "/v2/":
	case isManifest && r.Method == http.MethodPut:
		text, _ := io.ReadAll(r.Body)
		d := digest.FromBytes(text).String()
		for _, name := range []string{ref, d} {
			s.texts[name], s.types[name] = text, r.Header.Get("Content-Type")
		}
		var body struct{ Subject *ocispec.Descriptor }
		json.Unmarshal(text, &body)
		if s.referrers && body.Subject != nil {
			w.Header().Set("OCI-Subject", body.Subject.Digest.String())
		}
		w.WriteHeader(http.StatusCreated)
	case isManifest && found && r.Method == http.MethodDelete:
		delete(s.texts, ref)
		w.WriteHeader(http.StatusAccepted)
	case isManifest && found:
		w.Header().Set("Content-Type", s.types[ref])
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		w.Header().Set("Docker-Content-Digest", digest.FromBytes(text).String())
		w.Write(text)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`)
	}
}

// TestManifestRoundTrip pushes, tags, resolves, fetches and deletes a manifest whose bytes no encoder would write so.
func TestManifestRoundTrip(t *testing.T) {
	s := serveManifests(t)
	r := repository(t, newClient(t), s.host())
	text := []byte("{ \"schemaVersion\":2,\n\t\"mediaType\": \"" + registry.MediaTypeDockerManifest + "\", \"x\":1.0 }\n")
	d := describe(text)
	d.MediaType = registry.MediaTypeDockerManifest
	if err := r.Push(t.Context(), d, bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if err := r.Tag(t.Context(), d, "v1.0"); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, s.texts["v1.0"], text)
	if n := s.count("GET"); n != 0 {
		t.Errorf("the manifest was got again: %q", s.asked())
	}
	for _, ref := range []string{"v1.0", d.Digest.String()} {
		got, err := r.Resolve(t.Context(), ref)
		if diff := cmp.Diff(d, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", ref, err, diff)
		}
	}
	got, err := fetch(t.Context(), r, d)
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, got, text)
	if err := repository(t, newClient(t), s.host()).Tag(t.Context(), d, "v2"); err != nil { // one that hasn't seen the bytes
		t.Error(err)
	}
	wantBytes(t, s.texts["v2"], text)
	if err := r.Delete(t.Context(), "v2"); err != nil {
		t.Error(err)
	}
	if err := r.Delete(t.Context(), d.Digest.String()); err != nil {
		t.Error(err)
	}
	_, err = r.Resolve(t.Context(), "v2")
	if !errors.Is(err, registry.ErrNotFound) || !strings.Contains(err.Error(), "resolve "+s.host()+"/app:v2: ") {
		t.Errorf("resolve after delete: %v", err)
	}
	if err := r.Delete(t.Context(), d.Digest.String()); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("delete again: %v", err)
	}
}

// TestResolve has registries that say less than they should, or something else.
func TestResolve(t *testing.T) {
	text, d := image(t, nil)
	other := describe(nil).Digest.String()
	full := http.Header{"Content-Type": {d.MediaType}, "Docker-Content-Digest": {d.Digest.String()}}
	without := func(name string) http.Header {
		h := full.Clone()
		h.Del(name)
		return h
	}
	with := func(name, value string) http.Header {
		h := full.Clone()
		h.Set(name, value)
		return h
	}
	for name, c := range map[string]struct {
		ref     string
		header  http.Header
		head    int // status
		text    []byte
		wantGet int
		want    error
	}{
		"all headers":             {"v1", full, 200, text, 0, nil},
		"with parameters":         {"v1", with("Content-Type", d.MediaType+"; charset=utf-8"), 200, text, 0, nil},
		"no digest":               {"v1", without("Docker-Content-Digest"), 200, text, 1, nil},
		"no digest, but asked so": {d.Digest.String(), without("Docker-Content-Digest"), 200, text, 0, nil},
		"no type":                 {"v1", without("Content-Type"), 200, text, 1, nil},
		"nonsense digest":         {"v1", with("Docker-Content-Digest", "md5:x"), 200, text, 1, nil},
		"no HEAD":                 {"v1", full, 405, text, 1, nil},
		"HEAD is broken":          {"v1", full, 501, text, 1, nil},
		"another digest":          {d.Digest.String(), with("Docker-Content-Digest", other), 200, text, 0, registry.ErrDigest},
		"another digest by GET":   {"v1", with("Docker-Content-Digest", other), 405, text, 1, registry.ErrDigest},
		"another manifest":        {d.Digest.String(), without("Docker-Content-Digest"), 405, append([]byte{' '}, text...), 1, registry.ErrDigest},
		"too large":               {"v1", full, 405, append(bytes.Repeat([]byte{' '}, maxManifest), text...), 1, errRefused},
		"schema 1":                {"v1", http.Header{"Content-Type": {dockerSchema1 + "prettyjws"}}, 405, []byte(`{"schemaVersion":1}`), 1, registry.ErrUnsupported},
		"a web page":              {"v1", http.Header{"Content-Type": {"text/html"}}, 200, []byte(`{}`), 1, registry.ErrUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				for name := range c.header {
					w.Header().Set(name, c.header.Get(name))
				}
				if r.Method == http.MethodHead {
					w.Header().Set("Content-Length", strconv.Itoa(len(c.text)))
					w.WriteHeader(c.head)
					return
				}
				w.Write(c.text)
			})
			got, err := repository(t, newClient(t), s.host()).Resolve(t.Context(), c.ref)
			if !errors.Is(err, c.want) || err == nil && !cmp.Equal(got, d) {
				t.Errorf("got %v, %v", got, err)
			}
			if n := s.count("GET /v2/app"); n != c.wantGet {
				t.Errorf("%d GET", n)
			}
			for _, line := range s.asked() {
				if strings.HasPrefix(line, "HEAD /v2/app/manifests/"+c.ref) {
					return
				}
			}
			t.Errorf("no HEAD: %q", s.asked())
		})
	}
}

// TestRefs refuses what is neither a tag nor a digest before anything is sent.
func TestRefs(t *testing.T) {
	c := newClient(t)
	c.Transport = transport(func(r *http.Request) (*http.Response, error) {
		t.Errorf("sent: %s", r.URL)
		return nil, errors.New("no")
	})
	r := repository(t, c, "registry.example")
	for _, ref := range []string{"", "a/b", "../x", "a b", "-a", strings.Repeat("a", 129), "sha256:abc", "x:y", "md5:" + strings.Repeat("a", 32), "a?b"} {
		if _, err := r.Resolve(t.Context(), ref); err == nil {
			t.Errorf("%q is taken", ref)
		}
		if err := r.Delete(t.Context(), ref); err == nil {
			t.Errorf("delete %q is taken", ref)
		}
	}
	for _, d := range []ocispec.Descriptor{{Digest: "sha256:../../x", Size: 1}, {Digest: digest.FromString("x"), Size: -1}, {}} {
		if _, err := r.Fetch(t.Context(), d); err == nil {
			t.Errorf("%v is taken", d)
		}
		if err := r.Push(t.Context(), d, strings.NewReader("x")); err == nil {
			t.Errorf("push of %v is taken", d)
		}
	}
}

func TestPushManifestWrong(t *testing.T) {
	s := serveManifests(t)
	r := repository(t, newClient(t), s.host())
	text, d := image(t, nil)
	for name, wrong := range map[string][]byte{"shorter": text[1:], "longer": append(slices.Clone(text), ' '), "other": bytes.ToUpper(text)} {
		if err := r.Push(t.Context(), d, bytes.NewReader(wrong)); !errors.Is(err, registry.ErrDigest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	d.Size = maxManifest + 1
	if err := r.Push(t.Context(), d, bytes.NewReader(text)); err == nil || !strings.Contains(err.Error(), "at most 4194304") {
		t.Errorf("too large: %v", err)
	}
	if n := s.count("PUT"); n != 0 {
		t.Errorf("%d manifests were put", n)
	}
}

// TestDeleteTagUnsupported has a registry that takes tags for broken digests.
func TestDeleteTagUnsupported(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"errors":[{"code":"DIGEST_INVALID"}]}`)
		}
	})
	err := repository(t, newClient(t), s.host()).Delete(t.Context(), "v1")
	if !errors.Is(err, registry.ErrUnsupported) || !strings.Contains(err.Error(), "deletes no tags") {
		t.Errorf("got %v", err)
	}
}

// TestReferrersByTag has a registry that doesn't know of referrers.
func TestReferrersByTag(t *testing.T) {
	s := serveManifests(t)
	c := newClient(t)
	r := repository(t, c, s.host())
	_, subject := image(t, nil)
	push := func(n int) ocispec.Descriptor {
		text, d := image(t, func(m *ocispec.Manifest) {
			m.Subject = &subject
			m.ArtifactType = fmt.Sprintf("application/x-%d", n%2)
			m.Annotations = map[string]string{"n": strconv.Itoa(n)}
		})
		if err := repository(t, c, s.host()).Push(t.Context(), d, bytes.NewReader(text)); err != nil {
			t.Error(err)
		}
		d.ArtifactType, d.Annotations = fmt.Sprintf("application/x-%d", n%2), map[string]string{"n": strconv.Itoa(n)}
		return d
	}
	if got, err := r.Referrers(t.Context(), subject, ""); err != nil || len(got) != 0 {
		t.Errorf("before: %v, %v", got, err)
	}
	var group sync.WaitGroup
	all := make([]ocispec.Descriptor, 6)
	for n := range all {
		group.Go(func() { all[n] = push(n) })
	}
	group.Wait()
	push(0) // once more changes nothing
	byNumber := func(list []ocispec.Descriptor) []ocispec.Descriptor {
		slices.SortFunc(list, func(a, b ocispec.Descriptor) int { return strings.Compare(a.Annotations["n"], b.Annotations["n"]) })
		return list
	}
	got, err := r.Referrers(t.Context(), subject, "")
	if diff := cmp.Diff(all, byNumber(got)); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	got, err = r.Referrers(t.Context(), subject, "application/x-1")
	if diff := cmp.Diff([]ocispec.Descriptor{all[1], all[3], all[5]}, byNumber(got)); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if err := r.Delete(t.Context(), all[1].Digest.String()); err != nil {
		t.Fatal(err)
	}
	got, err = r.Referrers(t.Context(), subject, "application/x-1")
	if diff := cmp.Diff([]ocispec.Descriptor{all[3], all[5]}, byNumber(got)); err != nil || diff != "" {
		t.Errorf("after delete: %v %s", err, diff)
	}
	tag := "sha256-" + subject.Digest.Encoded()
	if s.types[tag] != ocispec.MediaTypeImageIndex {
		t.Errorf("%s has type %q", tag, s.types[tag])
	}
	s.referrers = true
	before := s.count("PUT /v2/app/manifests/" + tag)
	push(7)
	if s.count("PUT /v2/app/manifests/"+tag) != before {
		t.Error("the tag was put although the registry knows of subjects")
	}
}

// TestReferrersByRequest has a registry that knows of them, in pages, and filters or not.
func TestReferrersByRequest(t *testing.T) {
	list := func(types ...string) []byte {
		index := ocispec.Index{MediaType: ocispec.MediaTypeImageIndex}
		for _, name := range types {
			index.Manifests = append(index.Manifests, ocispec.Descriptor{ArtifactType: name})
		}
		text, _ := json.Marshal(index)
		return text
	}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", ocispec.MediaTypeImageIndex)
		switch {
		case r.FormValue("page") == "2":
			w.Write(list("a", "c"))
		case r.FormValue("artifactType") == "b":
			w.Header().Set("OCI-Filters-Applied", "artifactType")
			w.Write(list("b"))
		default:
			w.Header().Set("Link", `<?page=2>; rel="next"`)
			w.Write(list("a", "b"))
		}
	})
	r := repository(t, newClient(t), s.host())
	for want, number := range map[string]int{"": 4, "a": 2, "b": 1, "x": 0} {
		got, err := r.Referrers(t.Context(), describe(nil), want)
		if err != nil || len(got) != number {
			t.Errorf("%q: %v, %v", want, got, err)
		}
	}
}
