// SPDX-License-Identifier: Apache-2.0

package server

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Options are the choices of whoever runs a registry. The zero value is a registry where everybody may do everything.
type Options struct {
	// Accounts are the names and passwords that the registry asks for; nil: it asks for none.
	Accounts *Accounts
	// Tokens makes clients get a token at /token for their name and password, and show that. Without it they show name and
	// password each time. It needs Accounts.
	Tokens bool
	// ReadOnly refuses every change; the folder is not written to at all, so it may be on a read-only file system.
	ReadOnly bool
	// Grace is how long a collection leaves alone what no manifest needs yet, and an upload that nobody goes on with. 0 means
	// 24 hours.
	Grace time.Duration
	// DeleteUntagged makes a collection remove manifests without a tag, too, unless a manifest that stays needs them or is
	// their subject.
	DeleteUntagged bool
	// MountAny makes a client that asks to mount a blob, but not from which repository, get it from any that it may read. Else it
	// has to push the blob.
	MountAny bool
	// Log gets one line per request; nil: none is written.
	Log io.Writer
	// Problem is told what went wrong inside the registry, of which a client only learns that something did. nil: it is lost.
	Problem func(error)
}

// Server is a registry. It is an [http.Handler].
type Server struct {
	root     string
	o        Options
	held     *os.File // the lock of the root; nil if the registry is read-only
	handlers map[kind]map[string]handler
	tokens   tokens
	count    counters
	subjects subjects
	indexes  indexes
	log      accessLog
	crossing http.CrossOriginProtection
	busy     [64]sync.RWMutex
	patience time.Duration // the constants, but for tests
	quiet    time.Duration

	lock    sync.Mutex
	uploads map[string]*upload // by file

	collecting sync.Mutex
}

// handler answers a request to an end point, or refuses it.
type handler func(*Server, *call) error

// call is a request that has been understood.
type call struct {
	w     *tap
	r     *http.Request
	route route
	repo  *repository // of routes with a name
	may   func(name, action string) bool
}

// Open opens the registry that a folder holds, and makes the folder if there is none. Only one server may hold a folder, unless it is
// read-only. Close ends that.
func Open(root string, o Options) (*Server, error) {
	if o.Tokens && o.Accounts == nil {
		return nil, errors.New("tokens need accounts: who is to get one?")
	}
	if o.Grace == 0 {
		o.Grace = 24 * time.Hour
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	s := &Server{root: root, o: o, handlers: handlers(), uploads: map[string]*upload{}, log: accessLog{w: o.Log}, patience: patience, quiet: quiet}
	if s.tokens, err = newTokens(); err != nil {
		return nil, err
	}
	if o.ReadOnly {
		_, err := os.ReadDir(root)
		return s, err
	}
	if err := os.MkdirAll(root, 0o700); err != nil { // images are for those whom the server lets see them
		return nil, err
	}
	s.held, err = openLock(filepath.Join(root, "_lock"))
	if err != nil {
		return nil, err
	}
	err = flock(s.held, unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = fmt.Errorf("%s: another registry serves this folder; a second one has to be read-only", root)
	}
	if err != nil {
		s.held.Close()
		return nil, err
	}
	return s, nil
}

// Close lets go of the folder. No request may be under way.
func (s *Server) Close() error {
	if s.held == nil {
		return nil
	}
	return s.held.Close()
}

// problem tells of an error that no client is told.
func (s *Server) problem(err error) {
	if s.o.Problem != nil {
		s.o.Problem(err)
	}
}

// handlers is the table of the protocol: which function answers which method at which end point.
func handlers() map[kind]map[string]handler {
	return map[kind]map[string]handler{
		base:      {"GET": (*Server).hello},
		catalog:   {"GET": (*Server).listRepositories},
		tags:      {"GET": (*Server).listTags},
		manifests: {"GET": (*Server).getManifest, "PUT": (*Server).putManifest, "DELETE": (*Server).deleteManifest},
		blobs:     {"GET": (*Server).getBlob, "DELETE": (*Server).deleteBlob},
		uploads:   {"POST": (*Server).startUpload},
		session: {
			"GET": (*Server).uploadStatus, "PATCH": (*Server).continueUpload, "PUT": (*Server).endUpload,
			"DELETE": (*Server).cancelUpload,
		},
		referrers: {"GET": (*Server).listReferrers},
	}
}

// ServeHTTP answers a request, counts and logs it.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := newTap(w, r, s.patience)
	defer func() { s.record(t, r) }()
	control := http.NewResponseController(w)
	_ = control.SetWriteDeadline(time.Time{}) // that of the last answer on this connection may be over
	if r.ContentLength != 0 {                 // net/http waits for the body, also where nobody reads it
		_ = control.SetReadDeadline(time.Now().Add(s.patience))
		t.slowest += s.patience // the answer goes out after that
	}
	t.Header().Set("X-Content-Type-Options", "nosniff")
	switch path := r.URL.Path; {
	case path == "/v2" || strings.HasPrefix(path, "/v2/"):
		s.serveProtocol(t, r)
	case path == "/token":
		s.serveToken(t, r)
	case path == "/healthz":
		s.serveHealth(t, r)
	case path == "/metrics":
		s.serveMetrics(t, r)
	default:
		s.servePage(t, r)
	}
}

// serveProtocol answers a request of the specification.
func (s *Server) serveProtocol(w *tap, r *http.Request) {
	w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
	if err := s.serve(w, r); err != nil {
		if a := answer(err); !w.written {
			a.write(w)
		}
		if own := new(refusal); !errors.As(err, &own) && r.Context().Err() == nil {
			s.problem(fmt.Errorf("%s %s: %w", r.Method, quote(r.URL.Path), err))
		}
	}
}

// serve understands a request, asks whether its sender may make it, and has it answered.
func (s *Server) serve(w *tap, r *http.Request) error {
	route, err := parseRoute(r.URL.Path)
	if err != nil {
		return err
	}
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet // net/http leaves the body out
	}
	handle := s.handlers[route.kind][method]
	if handle == nil {
		w.Header().Set("Allow", allow(s.handlers[route.kind]))
		return unsupported("the method " + quote(r.Method) + " is not for " + quote(r.URL.Path))
	}
	if err := s.crossing.Check(r); err != nil { // a page elsewhere uses the password that a browser has kept
		return &refusal{http.StatusForbidden, codeDenied, "pages of other sites change nothing here"}
	}
	if s.o.ReadOnly && method != http.MethodGet {
		return unsupported("the registry is read-only")
	}
	c := &call{w: w, r: r, route: route}
	if route.name != "" {
		c.repo = s.repository(route.name)
	}
	if err := s.authorize(w, c, method); err != nil {
		return err
	}
	return handle(s, c)
}

// allow lists the methods of an end point.
func allow(methods map[string]handler) string {
	var list []string
	for _, name := range []string{"GET", "HEAD", "POST", "PATCH", "PUT", "DELETE"} {
		if methods[name] != nil || name == "HEAD" && methods["GET"] != nil {
			list = append(list, name)
		}
	}
	return strings.Join(list, ", ")
}

// hello is GET /v2/: this is a registry, and the client may use it.
func (s *Server) hello(c *call) error { return send(c.w, "application/json", struct{}{}) }

// serveHealth is /healthz: the server answers and its folder can be read.
func (s *Server) serveHealth(w http.ResponseWriter, _ *http.Request) {
	if _, err := os.ReadDir(s.root); err != nil {
		s.problem(err)
		http.Error(w, "the folder cannot be read", http.StatusServiceUnavailable)
		return
	}
	_, _ = io.WriteString(w, "ok\n") // who has gone needs no answer
}
