// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"stave/registry"
)

// collect gets all names of a list.
func collect(seq func(func(string, error) bool)) (all []string, err error) {
	for name, err := range seq {
		if err != nil {
			return all, err
		}
		all = append(all, name)
	}
	return all, nil
}

// TestPages has a registry give two names a page, in an order of its own.
func TestPages(t *testing.T) {
	names := []string{"b", "a", "v10", "v2", "A", "_x", "b"}
	for _, absolute := range []bool{false, true} {
		var s *fake
		s = serve(t, func(w http.ResponseWriter, r *http.Request) {
			begin, _ := strconv.Atoi(r.FormValue("last"))
			end := min(begin+2, len(names))
			if end < len(names) {
				link := fmt.Sprintf("%s?n=2&last=%d", r.URL.Path, end)
				if absolute {
					link = s.URL + link
				}
				w.Header().Set("Link", "<"+link+`>; rel="next"`)
			}
			json.NewEncoder(w).Encode(map[string]any{"name": "app", "tags": names[begin:end], "repositories": names[begin:end]})
		})
		got, err := collect(repository(t, newClient(t), s.host()).Tags(t.Context()))
		if diff := cmp.Diff([]string{"A", "_x", "a", "b", "v10", "v2"}, got); err != nil || diff != "" {
			t.Errorf("%v %s", err, diff)
		}
	}
}

func TestTagsNull(t *testing.T) {
	for _, text := range []string{`{"name":"app","tags":null}`, `{"name":"app"}`, `{"tags":[]}`} {
		s := serve(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, text) })
		if got, err := collect(repository(t, newClient(t), s.host()).Tags(t.Context())); err != nil || len(got) != 0 {
			t.Errorf("%s: %q, %v", text, got, err)
		}
	}
}

// TestPagesRefused has lists that never end, lead elsewhere or are none.
func TestPagesRefused(t *testing.T) {
	thief := serve(t, func(http.ResponseWriter, *http.Request) {})
	n := 0
	for name, c := range map[string]struct {
		link, text, want string
	}{
		"to itself":      {`</v2/app/tags/list?n=1000>; rel="next"`, `{}`, "in circles"},
		"to another":     {`<` + thief.URL + `/v2/app/tags/list>; rel="next"`, `{}`, "somewhere else"},
		"to a scheme":    {`<file:///etc/passwd>; rel="next"`, `{}`, "somewhere else"},
		"always further": {"", `{}`, "more than 2000 pages"},
		"no JSON":        {"-", `<html>`, "invalid character"},
		"no list":        {"-", `{"tags":"a"}`, "cannot unmarshal"},
		"no names":       {"-", `{"tags":["../../etc"]}`, "a name that is none"},
		"escapes":        {"-", `{"tags":["a\u001b[31m"]}`, "a name that is none"},
		"deep":           {"-", `{"tags":` + strings.Repeat("[", 100_000), "exceeded max depth"},
		"endless":        {"-", `{"tags":["` + strings.Repeat("a", maxPage), "more than 4194304 bytes"},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				n++
				link := orElse(c.link, fmt.Sprintf(`</v2/app/tags/list?last=%d>; rel="next"`, n))
				w.Header().Set("Link", link)
				fmt.Fprint(w, c.text)
			})
			client := loggedIn(t)
			if _, err := collect(repository(t, client, s.host()).Tags(t.Context())); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if asked := thief.asked(); len(asked) != 0 {
		t.Errorf("the other host was asked: %q", asked)
	}
}

func TestCatalogAndSearch(t *testing.T) {
	v1 := `{"results":[{"name":"busybox","description":"a\u001b[2J b","star_count":5,"is_official":true},{"name":"x/busy","is_automated":true},{"name":"y"}]}`
	for name, c := range map[string]struct {
		search http.HandlerFunc
		want   []Found
	}{
		"with a search": {
			func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, v1) },
			[]Found{{Name: "busybox", Description: "a\uFFFD[2J b", Stars: 5, Official: true}, {Name: "x/busy", Automated: true}},
		},
		"without": {
			func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) },
			[]Found{{Name: "a/busybox"}, {Name: "busy"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/v1/search":
					c.search(w, r)
				case "/v2/_catalog":
					fmt.Fprint(w, `{"repositories":["other","busy","a/busybox","z/busy"]}`)
				}
			})
			got, err := newClient(t).Search(t.Context(), s.host(), "busy", 2)
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%v %s", err, diff)
			}
			all, err := collect(newClient(t).Catalog(t.Context(), s.host()))
			if want := []string{"a/busybox", "busy", "other", "z/busy"}; err != nil || !slices.Equal(all, want) {
				t.Errorf("%v, %v", all, err)
			}
		})
	}
	if _, err := newClient(t).Search(t.Context(), "registry.example", "x", 0); err == nil {
		t.Error("a search for nothing")
	}
}

func TestCatalogDenied(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusMethodNotAllowed) })
	if _, err := collect(newClient(t).Catalog(t.Context(), s.host())); !errors.Is(err, registry.ErrUnsupported) {
		t.Errorf("got %v", err)
	}
}

// TestHostileAnswers has answers that would fill the memory or the terminal.
func TestHostileAnswers(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"huge headers": func(w http.ResponseWriter, _ *http.Request) {
			for i := range 100 {
				w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("a", 10_000))
			}
		},
		"endless error": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			for page := make([]byte, 1<<16); ; {
				if _, err := w.Write(page); err != nil {
					return
				}
			}
		},
		"error in control characters": func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprint(w, `{"errors":[{"code":"DENIED\u0007","message":"\u001b]0;x\u0007\u202e"}]}`)
		},
		"bomb": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/v2/" {
					handler(w, r)
				}
			})
			err := tags(t.Context(), repository(t, newClient(t), s.host()))
			if err == nil || len(err.Error()) > 1000 || strings.ContainsFunc(err.Error(), func(r rune) bool { return r < ' ' || r == '\u202e' }) {
				t.Errorf("got %q", err)
			}
		})
	}
}

// TestEncodedBlob has a server say of a blob that it is compressed for the way: its bytes are taken as they come.
func TestEncodedBlob(t *testing.T) {
	text := []byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff, 1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0}
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			t.Errorf("Accept-Encoding: %s", got)
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(text)
	})
	got, err := fetch(t.Context(), repository(t, newClient(t), s.host()), describe(text))
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, got, text)
}

// TestWarning passes on what a registry warns of.
func TestWarning(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v2/" {
			w.Header().Set("Warning", `299 - "this repository is going away"`)
		}
		fmt.Fprint(w, `{}`)
	})
	var told []string
	c := newClient(t)
	c.Notice = func(text string) { told = append(told, text) }
	if err := tags(t.Context(), repository(t, c, s.host())); err != nil {
		t.Fatal(err)
	}
	if want := []string{s.host() + ` warns: 299 - "this repository is going away"`}; !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
}
