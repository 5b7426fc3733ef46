// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"stave/registry"
)

// sessions is a registry that takes uploads and cuts their connections: one number for each request with a body, of how many
// bytes it still takes.
type sessions struct {
	*fake
	mutex   sync.Mutex
	cuts    []int
	uploads map[string][]byte // by session
	blobs   map[string][]byte // by digest
	forget  bool              // a session that was cut is lost
	silent  bool              // the state of a session is not told
	least   string            // OCI-Chunk-Min-Length
	mount   int               // status of an answer to a mount
	boast   int               // how many bytes more than there are a session is said to have: more than buffers on the way hold
	busy    int               // how many bodies are answered with 503
	limit   int64             // how many bytes a body may have; 0 means any number
}

// serveSessions starts such a registry.
func serveSessions(t *testing.T, cuts ...int) *sessions {
	s := &sessions{cuts: cuts, uploads: map[string][]byte{}, blobs: map[string][]byte{}}
	s.fake = serve(t, s.handle)
	return s
}

// handle answers a request.
func (s *sessions) handle(w http.ResponseWriter, r *http.Request) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	name := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	_, open := s.uploads[name]
	switch {
	case r.URL.Path == "/v2/":
	case r.Method == http.MethodHead && s.blobs[name] != nil:
		w.Header().Set("Content-Length", strconv.Itoa(len(s.blobs[name])))
	case r.Method == http.MethodHead:
		w.WriteHeader(http.StatusNotFound)
	case r.Method == http.MethodPost && r.FormValue("mount") != "" && s.mount == http.StatusCreated:
		w.WriteHeader(http.StatusCreated)
	case r.Method == http.MethodPost:
		id := fmt.Sprint("session", len(s.uploads))
		s.uploads[id] = nil
		w.Header().Set("OCI-Chunk-Min-Length", s.least)
		s.state(w, id, http.StatusAccepted)
	case !open || s.silent && r.Method == http.MethodGet:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN"}]}`)
	case r.Method == http.MethodGet:
		s.state(w, name, http.StatusNoContent)
	case r.Method == http.MethodDelete:
		delete(s.uploads, name)
		w.WriteHeader(http.StatusNoContent)
	case s.limit > 0 && r.ContentLength > s.limit:
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	case s.busy > 0 && r.ContentLength > 0:
		s.busy--
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	case r.Method == http.MethodPatch:
		s.take(r, name)
		s.state(w, name, http.StatusAccepted)
	case r.Method == http.MethodPut:
		s.take(r, name)
		s.commit(w, r.FormValue("digest"), s.uploads[name])
	}
}

// take takes the body of a request, or a part of it.
func (s *sessions) take(r *http.Request, name string) {
	if begin := r.Header.Get("Content-Range"); begin != "" && !strings.HasPrefix(begin, fmt.Sprint(len(s.uploads[name]), "-")) {
		panic(fmt.Sprintf("a chunk at %s after %d bytes", begin, len(s.uploads[name])))
	}
	if len(s.cuts) > 0 && r.ContentLength > 0 {
		part, _ := io.ReadAll(io.LimitReader(r.Body, int64(s.cuts[0])))
		s.cuts = s.cuts[1:]
		s.uploads[name] = append(s.uploads[name], part...)
		if s.forget {
			delete(s.uploads, name)
		}
		panic(http.ErrAbortHandler)
	}
	text, err := io.ReadAll(r.Body)
	s.uploads[name] = append(s.uploads[name], text...)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}

// state answers with the state of a session.
func (s *sessions) state(w http.ResponseWriter, id string, status int) {
	w.Header().Set("Location", "/v2/app/blobs/uploads/"+id+"?state=x")
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(len(s.uploads[id])-1+s.boast, 0)))
	w.WriteHeader(status)
}

// commit keeps a blob if it has its digest.
func (s *sessions) commit(w http.ResponseWriter, want string, text []byte) {
	if digest.FromBytes(text).String() != want {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"errors":[{"code":"DIGEST_INVALID","message":"provided digest did not match"}]}`)
		return
	}
	s.blobs[want] = text
	w.Header().Set("Docker-Content-Digest", want)
	w.WriteHeader(http.StatusCreated)
}

// methods are the methods of the requests, HEAD and the like left out.
func (s *sessions) methods() string {
	var all []string
	for _, line := range s.asked() {
		if method, _, _ := strings.Cut(line, " "); method != http.MethodHead {
			all = append(all, method)
		}
	}
	return strings.Join(all, " ")
}

func TestPush(t *testing.T) {
	const mega = 1 << 20
	for name, c := range map[string]struct {
		size, chunk int
		cuts        []int
		set         func(*sessions)
		want        string // the methods
	}{
		"in one":               {size: mega, want: "POST PUT"},
		"empty":                {size: 0, want: "POST PUT"},
		"in chunks":            {size: mega, chunk: mega/2 - 1, want: "POST PATCH PATCH PATCH PUT"},
		"one chunk":            {size: mega, chunk: mega, want: "POST PUT"},
		"larger chunks wanted": {size: mega, chunk: 1000, set: func(s *sessions) { s.least = fmt.Sprint(mega / 2) }, want: "POST PATCH PATCH PUT"},
		"cut":                  {size: 4 * mega, cuts: []int{mega}, want: "POST PUT GET PATCH PUT"},
		"cut again and again":  {size: 8 * mega, cuts: []int{mega, mega + 1, 2 * mega}, want: "POST PUT GET PATCH GET PATCH GET PATCH PUT"},
		"cut chunk":            {size: 4 * mega, chunk: 2 * mega, cuts: []int{mega}, want: "POST PATCH GET PATCH PATCH PUT"},
		"cut at once":          {size: 4 * mega, cuts: []int{0}, want: "POST PUT GET PUT"},
		"busy":                 {size: mega, set: func(s *sessions) { s.busy = 2 }, want: "POST PUT GET PUT GET PUT"},
		"boasting":             {size: 24 * mega, cuts: []int{1000}, set: func(s *sessions) { s.boast = 24*mega - 1000 }, want: "POST PUT GET POST PUT"},
		"lost session":         {size: 4 * mega, cuts: []int{mega}, set: func(s *sessions) { s.forget = true }, want: "POST PUT GET POST PUT"},
		"unknown state":        {size: 4 * mega, cuts: []int{mega}, set: func(s *sessions) { s.silent = true }, want: "POST PUT GET POST PUT"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveSessions(t, c.cuts...)
			if c.set != nil {
				c.set(s)
			}
			client := newClient(t)
			slept := &waits{}
			client.Sleep = slept.sleep
			client.ChunkSize = int64(c.chunk)
			text := random(c.size)
			d := describe(text)
			if err := repository(t, client, s.host()).Push(t.Context(), d, bytes.NewReader(text)); err != nil {
				t.Fatal(err)
			}
			wantBytes(t, s.blobs[d.Digest.String()], text)
			if diff := cmp.Diff(c.want, s.methods()); diff != "" {
				t.Error(diff)
			}
			if name == "busy" && slept.all[0] != 7*time.Second {
				t.Errorf("waited %v", slept.all)
			}
		})
	}
}

// TestPushFromTheMiddle pushes what a file has from its position on, over a cut.
func TestPushFromTheMiddle(t *testing.T) {
	s := serveSessions(t, 1<<20)
	text := random(4 << 20)
	r := bytes.NewReader(append([]byte("before"), text...))
	r.Seek(6, io.SeekStart)
	if err := repository(t, newClient(t), s.host()).Push(t.Context(), describe(text), r); err != nil {
		t.Fatal(err)
	}
	wantBytes(t, s.blobs[describe(text).Digest.String()], text)
}

// TestPushWrong pushes bytes that are not those of the descriptor: the registry never has them all, even if it would take
// them.
func TestPushWrong(t *testing.T) {
	text := random(1 << 20)
	d := describe(text)
	broken := errors.New("disk is broken")
	other := append([]byte{}, text...)
	other[len(other)-1]++
	for name, c := range map[string]struct {
		r    io.Reader
		want error
	}{
		"other bytes": {bytes.NewReader(other), registry.ErrDigest},
		"shorter":     {bytes.NewReader(text[1:]), registry.ErrDigest},
		"longer":      {bytes.NewReader(append(append([]byte{}, text...), 'x')), registry.ErrDigest},
		"broken":      {io.MultiReader(bytes.NewReader(text[:1000]), failing{broken}), broken},
		"empty":       {bytes.NewReader(nil), registry.ErrDigest},
	} {
		t.Run(name, func(t *testing.T) {
			s := serveSessions(t)
			err := repository(t, newClient(t), s.host()).Push(t.Context(), d, c.r)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), d.Digest.String()) {
				t.Errorf("got %v", err)
			}
			s.mutex.Lock()
			defer s.mutex.Unlock()
			for id, got := range s.uploads {
				if len(got) >= len(text) {
					t.Errorf("%s has %d bytes", id, len(got))
				}
			}
			if n := s.count("PUT"); n > 1 || len(s.blobs) > 0 {
				t.Errorf("%d tries, %d blobs", n, len(s.blobs))
			}
			if s.count("DELETE") != 1 {
				t.Errorf("the session was not cancelled: %q", s.asked())
			}
		})
	}
}

// failing is a reader that fails.
type failing struct{ err error }

// Read fails.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// TestPushWrongEmpty pushes a byte as the empty blob.
func TestPushWrongEmpty(t *testing.T) {
	s := serveSessions(t)
	err := repository(t, newClient(t), s.host()).Push(t.Context(), describe(nil), strings.NewReader("x"))
	if !errors.Is(err, registry.ErrDigest) || s.count("POST") != 0 {
		t.Errorf("got %v after %q", err, s.asked())
	}
}

// TestPushCannotBeReadAgain cuts an upload from a pipe: the registry may go on where it was cut, but not before.
func TestPushCannotBeReadAgain(t *testing.T) {
	text := random(4 << 20)
	s := serveSessions(t, 1<<20)
	err := repository(t, newClient(t), s.host()).Push(t.Context(), describe(text), onlyReader{bytes.NewReader(text)})
	if err == nil || !strings.Contains(err.Error(), "can't be read again") {
		t.Errorf("got %v", err)
	}
	if err := repository(t, newClient(t), s.host()).Push(t.Context(), describe(text), onlyReader{bytes.NewReader(text)}); err != nil {
		t.Errorf("uncut: %v", err)
	}
}

// TestPushMixedUp has a registry that lost a byte without saying so: at the end the digest is wrong, and another session is
// begun.
func TestPushMixedUp(t *testing.T) {
	text := random(4 << 20)
	s := serveSessions(t, 1)
	err := repository(t, newClient(t), s.host()).Push(t.Context(), describe(text), bytes.NewReader(text))
	if err != nil { // one byte came, which looks like none
		t.Fatal(err)
	}
	wantBytes(t, s.blobs[describe(text).Digest.String()], text)
}

// TestPushGivesUp cuts every time.
func TestPushGivesUp(t *testing.T) {
	text := random(4 << 20)
	s := serveSessions(t, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10)
	err := repository(t, newClient(t), s.host()).Push(t.Context(), describe(text), bytes.NewReader(text))
	if err == nil || s.count("PUT")+s.count("PATCH") != 6 {
		t.Errorf("got %v after %s", err, s.methods())
	}
}

// TestPushAtOnce pushes one blob many times at once: it is uploaded once. One of those who wait doesn't wait any longer.
func TestPushAtOnce(t *testing.T) {
	s := serveSessions(t)
	c := newClient(t)
	text := random(1 << 20)
	var group sync.WaitGroup
	started := make(chan struct{})
	group.Go(func() {
		first := readerFunc(func([]byte) (int, error) {
			close(started)
			return 0, errors.New("disk is broken")
		})
		if err := repository(t, c, s.host()).Push(t.Context(), describe(text), first); err == nil {
			t.Error("the first: no error")
		}
	})
	<-started
	for range 8 {
		group.Go(func() {
			if err := repository(t, c, s.host()).Push(t.Context(), describe(text), bytes.NewReader(text)); err != nil {
				t.Error(err)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := repository(t, c, s.host()).Push(ctx, describe(text), bytes.NewReader(text)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	group.Wait()
	wantBytes(t, s.blobs[describe(text).Digest.String()], text)
	if n := s.count("POST"); n != 2 {
		t.Errorf("%d uploads", n)
	}
	if len(c.pushing) > 0 {
		t.Errorf("left: %v", c.pushing)
	}
}

// readerFunc is a reader that is a function.
type readerFunc func([]byte) (int, error)

// Read calls it.
func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// TestPushExisting doesn't read what the registry has.
func TestPushExisting(t *testing.T) {
	text := []byte("blob")
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead && r.URL.Path != "/v2/" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		w.Header().Set("Content-Length", "4")
	})
	if err := repository(t, newClient(t), s.host()).Push(t.Context(), describe(text), failing{errors.New("read")}); err != nil {
		t.Error(err)
	}
}

// TestExists says what counts as being there, on the registry itself and never on a mirror.
func TestExists(t *testing.T) {
	d := describe([]byte("blob"))
	for name, c := range map[string]struct {
		head, get int
		length    string
		digest    string
		want      bool
		wantError error
	}{
		"there":           {http.StatusOK, 0, "4", "", true, nil},
		"not there":       {http.StatusNotFound, 0, "", "", false, nil},
		"no HEAD":         {http.StatusMethodNotAllowed, http.StatusOK, "4", "", true, nil},
		"HEAD not signed": {http.StatusForbidden, http.StatusNotFound, "", "", false, nil},
		"another length":  {http.StatusOK, 0, "5", "", false, registry.ErrDigest},
		"another digest":  {http.StatusOK, 0, "4", describe(nil).Digest.String(), false, registry.ErrDigest},
		"denied":          {http.StatusForbidden, http.StatusForbidden, "", "", false, ErrDenied},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				status := c.head
				if r.Method == http.MethodGet {
					status = orElse(c.get, http.StatusOK)
				}
				if c.length != "" && status == http.StatusOK && r.URL.Path != "/v2/" {
					w.Header().Set("Content-Length", c.length)
				}
				w.Header().Set("Docker-Content-Digest", c.digest)
				w.WriteHeader(status)
			})
			mirror := serve(t, func(http.ResponseWriter, *http.Request) {})
			client := newClient(t)
			client.Mirrors = map[string][]string{s.host(): {mirror.host()}}
			got, err := repository(t, client, s.host()).Exists(t.Context(), d)
			if got != c.want && err == nil || !errors.Is(err, c.wantError) {
				t.Errorf("got %v, %v", got, err)
			}
			if n := len(mirror.asked()); n > 0 {
				t.Errorf("the mirror was asked %d times", n)
			}
		})
	}
}

func TestMount(t *testing.T) {
	d := describe([]byte("blob"))
	s := serveSessions(t)
	c := newClient(t)
	r := repository(t, c, s.host())
	other := repository(t, c, s.host()+"/other")
	s.mount = http.StatusCreated
	if done, err := r.Mount(t.Context(), d, other); !done || err != nil {
		t.Errorf("got %v, %v", done, err)
	}
	s.mount = http.StatusAccepted
	if done, err := r.Mount(t.Context(), d, other); done || err != nil {
		t.Errorf("got %v, %v", done, err)
	}
	post := "POST /v2/app/blobs/uploads/?from=other%2Fapp&mount=" + strings.Replace(d.Digest.String(), ":", "%3A", 1)
	want := []string{post, post, "DELETE /v2/app/blobs/uploads/session0?state=x"}
	if diff := cmp.Diff(want, s.asked()); diff != "" {
		t.Error(diff)
	}
	for name, from := range map[string]registry.Store{"itself": r, "elsewhere": repository(t, c, "elsewhere.example"), "nothing": nil} {
		if done, err := r.Mount(t.Context(), d, from); done || err != nil {
			t.Errorf("from %s: %v, %v", name, done, err)
		}
	}
	if len(s.asked()) != 3 {
		t.Errorf("asked: %q", s.asked()[3:])
	}
}
