// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"stave/internal/witness"
	"stave/registry"
)

// cutting serves a blob and cuts the connection after some bytes, a number for each answer; then it serves to the end.
func cutting(text []byte, ranges bool, cuts ...int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		begin := 0
		if ranges {
			w.Header().Set("Accept-Ranges", "bytes")
			if n, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &begin); n == 1 && err == nil {
				w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", begin, len(text)-1, len(text)))
			}
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(text)-begin))
		if begin > 0 {
			w.WriteHeader(http.StatusPartialContent)
		}
		if len(cuts) == 0 {
			w.Write(text[begin:])
			return
		}
		n := cuts[0]
		cuts = cuts[1:]
		w.Write(text[begin:min(begin+n, len(text))])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
}

func TestFetchGoesOn(t *testing.T) {
	text := random(3 << 20)
	for name, c := range map[string]struct {
		ranges bool
		cuts   []int
	}{
		"uncut":               {true, nil},
		"cut":                 {true, []int{1, 500_000, 1_000_000}},
		"without ranges":      {false, []int{1_000_000, 2_000_000}},
		"before the end":      {true, []int{3<<20 - 1}},
		"many, with progress": {true, []int{1 << 19, 1 << 19, 1 << 19, 1 << 18, 1 << 18, 1 << 18, 1 << 18}},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, cutting(text, c.ranges, c.cuts...))
			got, err := fetch(t.Context(), repository(t, newClient(t), s.host()), describe(text))
			if err != nil {
				t.Fatal(err)
			}
			wantBytes(t, got, text)
			if n := s.count("GET"); n != len(c.cuts)+1 {
				t.Errorf("%d requests for %d cuts", n, len(c.cuts))
			}
		})
	}
}

// TestFetchGivesUp has a server that cuts after a few bytes each time.
func TestFetchGivesUp(t *testing.T) {
	text := random(1000)
	s := serve(t, cutting(text, true, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1))
	_, err := fetch(t.Context(), repository(t, newClient(t), s.host()), describe(text))
	if err == nil || !strings.Contains(err.Error(), "fetch "+s.host()+"/app@sha256:") {
		t.Errorf("got %v", err)
	}
	if n := s.count("GET"); n != 6 {
		t.Errorf("%d requests", n)
	}
}

// TestFetchWrong has servers whose bytes, lengths or ranges are not those of the descriptor.
func TestFetchWrong(t *testing.T) {
	text := []byte("the right bytes")
	d := describe(text)
	for name, handler := range map[string]http.HandlerFunc{
		"other bytes": func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("the wrong bytes")) },
		"shorter":     func(w http.ResponseWriter, _ *http.Request) { w.Write(text[1:]) },
		"longer":      func(w http.ResponseWriter, _ *http.Request) { w.Write(append(text[:len(text):len(text)], 'x')) },
		"another digest": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Docker-Content-Digest", describe(text[1:]).Digest.String())
			w.Write(text)
		},
		"shorter without a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Write(text[:3])
			w.(http.Flusher).Flush()
		},
		"longer without a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Write(text)
			w.(http.Flusher).Flush()
			w.Write([]byte("x"))
		},
		"without end": func(w http.ResponseWriter, _ *http.Request) {
			w.Write(text)
			for page := make([]byte, 1<<16); ; {
				if _, err := w.Write(page); err != nil {
					return
				}
			}
		},
		"an unwanted range": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 3-14/15")
			w.WriteHeader(http.StatusPartialContent)
			w.Write(text[3:])
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/" {
					handler(w, r)
				}
			})
			_, err := fetch(t.Context(), repository(t, newClient(t), s.host()), d)
			if !errors.Is(err, registry.ErrDigest) || !strings.Contains(err.Error(), d.Digest.String()) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestRangeWrong cuts the first answer, and gives another part than asked for afterwards.
func TestRangeWrong(t *testing.T) {
	text := random(1000)
	for name, header := range map[string]string{
		"begins elsewhere": "bytes 200-999/1000", "ends elsewhere": "bytes 100-998/1000", "another size": "bytes 100-999/1001", "none": "", "nonsense": "bytes */*",
	} {
		t.Run(name, func(t *testing.T) {
			first := cutting(text, true, 100)
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/v2/" || r.Header.Get("Range") == "" {
					first(w, r)
					return
				}
				w.Header().Set("Content-Range", header)
				w.WriteHeader(http.StatusPartialContent)
				w.Write(text[100:])
			})
			_, err := fetch(t.Context(), repository(t, newClient(t), s.host()), describe(text))
			if !errors.Is(err, registry.ErrDigest) || !strings.Contains(err.Error(), "gives the range") {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSeek(t *testing.T) {
	text := random(100_000)
	s := serve(t, cutting(text, true))
	r := repository(t, newClient(t), s.host())
	body, err := r.Fetch(t.Context(), describe(text))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	seeker := body.(io.Seeker)
	for _, step := range []struct {
		offset int64
		whence int
		want   int64
	}{{60_000, io.SeekStart, 60_000}, {-10_000, io.SeekEnd, 90_000}, {0, io.SeekStart, 0}, {0, io.SeekEnd, 100_000}} {
		at, err := seeker.Seek(step.offset, step.whence)
		if err != nil || at != step.want {
			t.Fatalf("seek: %d, %v", at, err)
		}
		got, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		wantBytes(t, got, text[step.want:])
	}
	for _, offset := range []int64{-1, 100_001} {
		if _, err := seeker.Seek(offset, io.SeekStart); err == nil {
			t.Errorf("seek to %d", offset)
		}
	}
	for _, line := range s.asked()[1:3] {
		if !strings.HasPrefix(line, "GET") {
			t.Error(line)
		}
	}
}

// TestSeekBack reads wrong bytes after a seek back to the beginning: all of them are read again, so the digest counts.
func TestSeekBack(t *testing.T) {
	s := serve(t, cutting([]byte("wrong"), true))
	body, err := repository(t, newClient(t), s.host()).Fetch(t.Context(), describe([]byte("right")))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := body.(io.Seeker).Seek(2, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); string(got) != "ong" || err != nil { // no digest of a part is known
		t.Errorf("got %q, %v", got, err)
	}
	if _, err := body.(io.Seeker).Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(body); !errors.Is(err, registry.ErrDigest) {
		t.Errorf("got %v", err)
	}
}

// TestSeekBackOverOther has the first bytes change between two readings of them: the second one counts.
func TestSeekBackOverOther(t *testing.T) {
	n := 0
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		w.Header().Set("Accept-Ranges", "bytes")
		if n++; n == 1 {
			fmt.Fprint(w, "right")
			return
		}
		fmt.Fprint(w, "bight")
	})
	body, err := repository(t, newClient(t), s.host()).Fetch(t.Context(), describe([]byte("right")))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, 2)); err != nil {
		t.Fatal(err)
	}
	if _, err := body.(io.Seeker).Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); !errors.Is(err, registry.ErrDigest) {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestNoSeekWithoutRanges(t *testing.T) {
	text := []byte("blob")
	s := serve(t, cutting(text, false))
	body, err := repository(t, newClient(t), s.host()).Fetch(t.Context(), describe(text))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, ok := body.(io.Seeker); ok {
		t.Error("it is a seeker")
	}
}

func TestFetchEmpty(t *testing.T) {
	s := serve(t, cutting(nil, true))
	got, err := fetch(t.Context(), repository(t, newClient(t), s.host()), describe(nil))
	if len(got) != 0 || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestFetchNotFound names what is missing.
func TestFetchNotFound(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]}`)
	})
	d := describe([]byte("x"))
	_, err := repository(t, newClient(t), s.host()).Fetch(t.Context(), d)
	want := fmt.Sprintf("fetch %s/app@%s: %s answers 404 not found: blob unknown to registry", s.host(), d.Digest, s.host())
	if !errors.Is(err, registry.ErrNotFound) || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestFetchEnds ends the context in the middle: there is no other try, and the error says why.
func TestFetchEnds(t *testing.T) {
	text := random(1 << 20)
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v2/" {
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		w.Write(text[:1000])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	body, err := repository(t, newClient(t), s.host()).Fetch(ctx, describe(text))
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	if _, err := io.ReadFull(body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	enough := errors.New("enough")
	cancel(enough)
	if _, err := io.ReadAll(body); !errors.Is(err, enough) {
		t.Errorf("got %v", err)
	}
	if n := s.count("GET"); n != 1 {
		t.Errorf("%d requests", n)
	}
}

// TestSilentServers has servers that send nothing, or next to nothing, at each place where one waits for them.
func TestSilentServers(t *testing.T) {
	text := random(1000)
	for name, handler := range map[string]http.HandlerFunc{
		"no header": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"no body": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		},
		"byte by byte": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(text)))
			for i := 0; ; i++ {
				select {
				case <-r.Context().Done():
					return
				case <-time.After(20 * time.Millisecond):
					w.Write(text[i%len(text) : i%len(text)+1])
					w.(http.Flusher).Flush()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/" {
					handler(w, r)
				}
			})
			c := newClient(t)
			c.Retries, c.Timeout = 1, 200*time.Millisecond
			r := repository(t, c, s.host())
			if _, err := fetch(t.Context(), r, describe(text)); !errors.Is(err, errSilent) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestGuard waits while nobody waits for the server, which is not to blame then, and while somebody does.
func TestGuard(t *testing.T) {
	t.Parallel()
	var fired atomic.Bool
	g := newGuard(time.Second, func() { fired.Store(true) })
	g.begin()
	g.end(1)
	stopped := time.Now()
	witness.Until(t, "more than the limit has passed", func() bool { return time.Since(stopped) > 1200*time.Millisecond })
	if fired.Load() {
		t.Error("the guard fired while nobody waited")
	}
	g = newGuard(time.Millisecond, func() { fired.Store(true) })
	g.begin()
	witness.Until(t, "the guard has fired", fired.Load)
	if g.end(1); g.left > 0 {
		t.Errorf("%v are left", g.left)
	}
	if g.end(enough); g.left != g.limit {
		t.Errorf("after enough bytes %v are left", g.left)
	}
}
