// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"stave/registry"
	"stave/registry/memory"
	"stave/registry/server"
	"stave/registry/storetest"
)

// proxy passes connections on and cuts some of them after a random number of bytes, in either direction.
type proxy struct {
	net.Listener
	target string
	mutex  sync.Mutex
	random *rand.Rand
	cuts   int // how many connections are still to be cut, if that many bytes pass
	most   int // after how many bytes at most
	made   int // how many were
	group  sync.WaitGroup
}

// startProxy starts a proxy for a registry.
func startProxy(t *testing.T, target string, seed uint64) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: listener, target: target, random: rand.New(rand.NewPCG(seed, seed))}
	p.group.Go(func() {
		for {
			from, err := p.Accept()
			if err != nil {
				return
			}
			p.group.Go(func() { p.serve(from) })
		}
	})
	t.Cleanup(func() {
		p.Close()
		p.group.Wait()
	})
	return p
}

// cut says how many connections are to be cut, after how many bytes at most, and returns how many were cut since it was last
// called.
func (p *proxy) cut(cuts, most int) (made int) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	made = p.made
	p.cuts, p.most, p.made = cuts, most, 0
	return made
}

// serve passes one connection on.
func (p *proxy) serve(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer to.Close()
	p.mutex.Lock()
	left := 1 << 40
	if p.cuts > 0 {
		p.cuts--
		left = p.random.IntN(p.most)
	}
	hard := p.random.IntN(2) == 0
	p.mutex.Unlock()
	budget := &budget{left: left}
	done := make(chan bool, 2)
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		p.group.Go(func() {
			_, err := io.Copy(budgeted{way[1], budget}, way[0])
			done <- errors.Is(err, io.ErrShortWrite)
		})
	}
	if <-done { // the first to end ends both
		p.mutex.Lock()
		p.made++
		p.mutex.Unlock()
		if hard {
			from.(*net.TCPConn).SetLinger(0) // a reset in place of an end
		}
	}
}

// budget is how many bytes may still pass.
type budget struct {
	mutex sync.Mutex
	left  int
}

// budgeted writes as long as there is budget left.
type budgeted struct {
	w io.Writer
	*budget
}

// Write writes what the budget allows.
func (b budgeted) Write(p []byte) (int, error) {
	b.mutex.Lock()
	defer b.mutex.Unlock()
	n, err := b.w.Write(p[:min(len(p), b.left)])
	b.left -= n
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	return n, err
}

// checkCuts pushes and pulls through a proxy that cuts, several times.
func checkCuts(t *testing.T, target string) {
	t.Helper()
	const cuts = 4
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	p := startProxy(t, target, seed)
	blob := random(6 << 20)
	d := describe(blob)
	for range 3 {
		c := newClient(t)
		r := repository(t, c, p.Addr().String())
		if err := r.Push(t.Context(), describe([]byte("x")), strings.NewReader("x")); err != nil { // to know the scheme
			t.Fatal(err)
		}
		p.cut(cuts, len(blob))
		c.CloseIdle()
		if err := r.Push(t.Context(), d, bytes.NewReader(blob)); err != nil {
			t.Fatalf("push: %v", err)
		}
		made := p.cut(cuts, len(blob))
		c.CloseIdle()
		got, err := fetch(t.Context(), r, d)
		if err != nil {
			t.Fatalf("fetch: %v", err)
		}
		wantBytes(t, got, blob)
		pulled := p.cut(0, 1)
		t.Logf("%d cuts in the push, %d in the pull", made, pulled)
		if made == 0 || pulled == 0 {
			t.Error("it was not cut")
		}
		blob = random(6 << 20)
		d = describe(blob)
	}
}

// TestDebianCut cuts connections to Debian's registry, which forgets an upload that was cut.
func TestDebianCut(t *testing.T) { checkCuts(t, startDebian(t, "", "").host) }

// serveOwn starts our own registry.
func serveOwn(t *testing.T) string {
	t.Helper()
	s, err := server.Open(t.TempDir(), server.Options{})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(s)
	t.Cleanup(func() {
		web.Close()
		s.Close()
	})
	return strings.TrimPrefix(web.URL, "http://")
}

// TestOwnCut cuts connections to our own registry.
func TestOwnCut(t *testing.T) { checkCuts(t, serveOwn(t)) }

// TestOwnStore runs the tests of all stores against our own registry.
func TestOwnStore(t *testing.T) {
	storetest.Run(t, storetest.Options{Open: func(t *testing.T) registry.Store {
		return repository(t, newClient(t), serveOwn(t))
	}})
}

// TestCopyCut copies an image of several layers in parallel through a proxy that cuts.
func TestCopyCut(t *testing.T) {
	p := startProxy(t, serveOwn(t), rand.Uint64())
	source := memory.New()
	var layers [][]byte
	for range 6 {
		layers = append(layers, random(1<<20))
	}
	top := storetest.Sample(t, source, "linux/amd64", layers...)
	r := repository(t, newClient(t), p.Addr().String())
	p.cut(4, 2<<20)
	if _, err := registry.Copy(t.Context(), r, "v1", source, top.Digest.String(), registry.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	p.cut(4, 2<<20)
	back := memory.New()
	if _, err := registry.Copy(t.Context(), back, "v1", repository(t, newClient(t), p.Addr().String()), "v1", registry.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	storetest.Same(t, back, top)
}
