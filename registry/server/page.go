// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bytes"
	"embed"
	"html/template"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
)

// web are the templates and styles of the pages.
//
//go:embed web
var web embed.FS

// templates are the pages, parsed once.
var templates = sync.OnceValues(func() (*template.Template, error) { return template.ParseFS(web, "web/page.html") })

// rowsOfPage is how many rows a page for people has at most.
const rowsOfPage = 100

// frame is what every page has.
type frame struct {
	Title    string
	Host     string
	ReadOnly bool
	Next     string // where the next page begins, or nothing
}

// servePage answers people: / lists the repositories, /repository/NAME the manifests of one, /repository/NAME@DIGEST and NAME:TAG
// show one. Whoever has to show a password elsewhere has to here, too.
func (s *Server) servePage(w *tap, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Referrer-Policy", "no-referrer")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "pages are only read", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == "/style.css" {
		style, _ := fs.ReadFile(web, "web/style.css") // it is in the program
		h.Set("Content-Type", "text/css; charset=utf-8")
		_, _ = w.Write(style) // who has gone needs no answer
		return
	}
	f := frame{Host: r.Host, ReadOnly: s.o.ReadOnly}
	name, data, err := s.choose(w, r, f)
	status := http.StatusOK
	if err != nil {
		a := answer(err)
		if a.status >= http.StatusInternalServerError {
			s.problem(err)
		}
		f.Title = http.StatusText(a.status)
		name, data, status = "problem", problemPage{f, a.message}, a.status
	}
	s.show(w, name, data, status)
}

// problemPage is the data of the page that says what is wrong.
type problemPage struct {
	frame
	Message string
}

// choose makes the data of the page that a path stands for, and names its template.
func (s *Server) choose(w *tap, r *http.Request, f frame) (string, any, error) {
	if s.o.Accounts != nil {
		user, ok := s.basic(r)
		if !ok {
			return "", nil, challenge(w, basicChallenge, "Name and password are wrong or missing.")
		}
		w.user = user
	}
	last := r.URL.Query().Get("last")
	if r.URL.Path == "/" {
		data, err := s.repositoriesPage(f, last)
		return "repositories", data, err
	}
	reference, found := strings.CutPrefix(r.URL.Path, "/repository/")
	if !found {
		return "", nil, notFound("There is no such page.")
	}
	name, wanted := reference, ""
	if cut := strings.IndexAny(reference, "@:"); cut >= 0 {
		name, wanted = reference[:cut], reference[cut+1:]
	}
	if err := checkName(name); err != nil {
		return "", nil, err
	}
	f.Title = reference
	if wanted == "" {
		data, err := s.repositoryPage(f, s.repository(name), last)
		return "repository", data, err
	}
	data, err := s.manifestPage(f, s.repository(name), wanted)
	return "manifest", data, err
}

// show fills in a template. The page is sent once it is whole.
func (s *Server) show(w *tap, name string, data any, status int) {
	all, err := templates()
	var text bytes.Buffer
	if err == nil {
		err = all.ExecuteTemplate(&text, name, data)
	}
	if err != nil {
		s.problem(err)
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(text.Len()))
	w.WriteHeader(status)
	_, _ = w.Write(text.Bytes()) // who has gone needs no answer
}

// short is the beginning of a digest, as docker shows it.
func short(d digest.Digest) string {
	if d.Validate() != nil {
		return string(d)
	}
	return d.Encoded()[:12]
}
