// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// startUploadOf starts an upload and returns its path.
func (r remote) startUploadOf(name string) string {
	r.t.Helper()
	got := r.want(202, "", "POST", "/v2/"+name+"/blobs/uploads/", "")
	if got.header.Get("Range") != "0-0" || got.header.Get("Docker-Upload-Uuid") == "" {
		r.t.Errorf("a new upload: %v", got.header)
	}
	return got.header.Get("Location")
}

// uploaded lists the files of uploads.
func uploaded(t *testing.T, root string) []string {
	t.Helper()
	files, err := filepath.Glob(root + "/*/" + uploadsFolder + "/*")
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// until polls for a fact.
func until(t *testing.T, fact string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain until " + fact)
		}
	}
}

// TestUploads pushes a blob in every way that the specification has, with both digests.
func TestUploads(t *testing.T) {
	const content = "one two three"
	for name, push := range map[string]func(r remote, d string) response{
		"POST": func(r remote, d string) response { return r.do("POST", "/v2/a/blobs/uploads/?digest="+d, content) },
		"POST, PUT": func(r remote, d string) response {
			return r.do("PUT", r.startUploadOf("a")+"?digest="+d, content)
		},
		"POST, PATCH, PUT": func(r remote, d string) response {
			at := r.startUploadOf("a")
			r.want(202, "", "PATCH", at, content)
			return r.do("PUT", at+"?digest="+d, "")
		},
		"chunks": func(r remote, d string) response {
			at := r.startUploadOf("a")
			r.want(202, "", "PATCH", at, content[:4], "Content-Range: 0-3")
			if got := r.want(202, "", "PATCH", at, content[4:8], "Content-Range: bytes 4-7/13"); got.header.Get("Range") != "0-7" {
				r.t.Errorf("after two chunks: %v", got.header)
			}
			if got := r.want(204, "", "GET", at, ""); got.header.Get("Range") != "0-7" || got.header.Get("Location") != at {
				r.t.Errorf("the status after two chunks: %v", got.header)
			}
			return r.do("PUT", at+"?digest="+d, content[8:], "Content-Range: 8-12")
		},
		"unknown length": func(r remote, d string) response {
			at := r.startUploadOf("a")
			if got := r.send("PATCH", at, io.MultiReader(strings.NewReader(content[:5]), strings.NewReader(content[5:]))); got.status != 202 {
				r.t.Errorf("PATCH: %v", got)
			}
			return r.do("PUT", at+"?digest="+d, "")
		},
	} {
		for _, algorithm := range algorithms() {
			t.Run(name+" "+algorithm.String(), func(t *testing.T) {
				r := start(t, Options{})
				d := algorithm.FromString(content).String()
				got := push(r, d)
				if got.status != 201 || got.header.Get("Docker-Content-Digest") != d || got.header.Get("Location") != "/v2/a/blobs/"+d {
					t.Fatalf("the end: %v", got)
				}
				if got := r.want(200, "", "GET", "/v2/a/blobs/"+d, ""); got.body != content {
					t.Errorf("it comes back as %q", got.body)
				}
				if files := uploaded(t, r.root); len(files) != 0 {
					t.Errorf("left: %v", files)
				}
				if n := checkFolder(t, r.root); n != 1 {
					t.Errorf("%d blobs", n)
				}
			})
		}
	}
}

// TestWrongUploads makes every mistake that a client can.
func TestWrongUploads(t *testing.T) {
	r := start(t, Options{})
	right, wrong := digest.FromString("content").String(), digest.FromString("other").String()
	at := r.startUploadOf("a")
	got := r.want(416, codeUploadInvalid, "PATCH", at, "tent", "Content-Range: 3-6")
	if got.header.Get("Range") != "0-0" || got.header.Get("Location") != at {
		t.Errorf("416 says %v", got.header)
	}
	r.want(400, codeSizeInvalid, "PATCH", at, "cont", "Content-Range: 0-4")
	r.want(400, codeUploadInvalid, "PATCH", at, "cont", "Content-Range: first-last")
	r.want(202, "", "PATCH", at, "cont", "Content-Range: 0-3")
	r.want(416, codeUploadInvalid, "PATCH", at, "cont", "Content-Range: 0-3")
	r.want(416, codeUploadInvalid, "PUT", at+"?digest="+right, "ent", "Content-Range: 5-7")
	r.want(400, codeDigestInvalid, "PUT", at, "ent")
	r.want(400, codeDigestInvalid, "PUT", at+"?digest=sha256:x", "ent")
	r.want(404, codeUploadUnknown, "PUT", strings.Replace(at, "/a/", "/b/", 1)+"?digest="+right, "ent")
	if got := r.want(204, "", "GET", at, ""); got.header.Get("Range") != "0-3" {
		t.Errorf("after the mistakes: %v", got.header)
	}
	bad := r.want(400, codeDigestInvalid, "PUT", at+"?digest="+wrong, "ent")
	if !strings.Contains(bad.body, right) || !strings.Contains(bad.body, wrong) {
		t.Errorf("the digests are not named: %s", bad.body)
	}
	r.want(404, codeUploadUnknown, "GET", at, "")
	r.want(400, codeDigestInvalid, "POST", "/v2/a/blobs/uploads/?digest="+wrong, "content")
	r.want(400, codeDigestInvalid, "POST", "/v2/a/blobs/uploads/?digest=", "content")
	r.want(404, codeBlobUnknown, "GET", "/v2/a/blobs/"+wrong, "")
	gone := r.startUploadOf("a")
	r.want(204, "", "DELETE", gone, "")
	r.want(404, codeUploadUnknown, "DELETE", gone, "")
	r.want(404, codeUploadUnknown, "PATCH", gone, "x")
	if files := uploaded(t, r.root); len(files) != 0 {
		t.Errorf("left: %v", files)
	}
	if n := len(r.server.uploads); n != 0 {
		t.Errorf("the server knows %d uploads", n)
	}
}

// TestCut cuts the connection in the middle of a chunk, restarts the server, and goes on where it had come to.
func TestCut(t *testing.T) {
	content := strings.Repeat("0123456789", 100_000)
	root := t.TempDir()
	var at string
	func() {
		s, err := Open(root, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		web := httptest.NewServer(s)
		defer web.Close()
		r := remote{t, s, web.URL, root}
		at = r.startUploadOf("a")
		cut(t, web.URL, "PATCH", at, len(content), content[:654_321])
		until(t, "all that was sent is in the file", func() bool {
			files := uploaded(t, root)
			info, err := os.Stat(files[0])
			return err == nil && info.Size() == 654_321
		})
	}()
	r := startAt(t, root, Options{})
	if got := r.want(204, "", "GET", at, ""); got.header.Get("Range") != "0-654320" {
		t.Fatalf("after the restart: %v", got.header)
	}
	r.want(202, "", "PATCH", at, content[654_321:700_000], "Content-Range: 654321-699999")
	d := digest.FromString(content).String()
	r.want(201, "", "PUT", at+"?digest="+d, content[700_000:], "Content-Range: 700000-999999")
	checkFolder(t, root)
	if got := r.want(200, "", "GET", "/v2/a/blobs/"+d, ""); got.body != content {
		t.Error("the blob is another")
	}
}

// cut sends a request whose body ends too early, and closes the connection.
func cut(t *testing.T, server, method, path string, length int, body string) {
	t.Helper()
	c := half(t, server, method, path, length, body)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// half sends a part of a request and leaves the connection open.
func half(t *testing.T, server, method, path string, length int, body string) net.Conn {
	t.Helper()
	u, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", method, path, u.Host, length, body); err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCutIsNoBlob breaks off the last request of an upload where the bytes that came happen to have the digest, and where not.
func TestCutIsNoBlob(t *testing.T) {
	r := start(t, Options{})
	at := r.startUploadOf("a")
	d := digest.FromString("content").String()
	cut(t, r.url, "PUT", at+"?digest="+d, 100, "content")
	until(t, "the bytes are there", func() bool { return r.do("GET", at, "").header.Get("Range") == "0-6" })
	r.want(404, codeBlobUnknown, "GET", "/v2/a/blobs/"+d, "")
	r.want(201, "", "PUT", at+"?digest="+d, "")
}

// TestTakeOver goes on with an upload while a connection that is as good as dead still has it.
func TestTakeOver(t *testing.T) {
	r := start(t, Options{})
	at := r.startUploadOf("a")
	dead := half(t, r.url, "PATCH", at, 100, "con")
	defer dead.Close()
	until(t, "three bytes have come", func() bool { return r.do("GET", at, "").header.Get("Range") == "0-2" })
	r.want(202, "", "PATCH", at, "tent", "Content-Range: 3-6")
	r.want(201, "", "PUT", at+"?digest="+digest.FromString("content").String(), "")
	answer, err := http.ReadResponse(bufio.NewReader(dead), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != 400 || !strings.Contains(string(text), codeUploadInvalid) {
		t.Errorf("the one that was stopped is told %s %s", answer.Status, text)
	}
}

// TestStop stops a body that has more to come, where the connection has no deadlines: what is read next is an error.
func TestStop(t *testing.T) {
	b := newBody(httptest.NewRecorder(), httptest.NewRequest("PUT", "/", strings.NewReader("more")), patience)
	b.stop()
	if n, err := b.Read(make([]byte, 4)); n != 0 || !errors.Is(err, errStopped) || !b.failed {
		t.Errorf("%d bytes, %v", n, err)
	}
}

// TestSameBlob pushes one blob from many clients at once, and reads it meanwhile.
func TestSameBlob(t *testing.T) {
	r := start(t, Options{})
	content := strings.Repeat("same", 50_000)
	d := digest.FromString(content).String()
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			at := r.startUploadOf("a")
			if i%2 == 0 {
				r.want(202, "", "PATCH", at, content[:100_000])
				r.want(201, "", "PUT", at+"?digest="+d, content[100_000:])
			} else {
				r.want(201, "", "PUT", at+"?digest="+d, content)
			}
			if got := r.want(200, "", "GET", "/v2/a/blobs/"+d, ""); got.body != content {
				t.Error("the blob is another")
			}
		})
	}
	all.Wait()
	if files := uploaded(t, r.root); len(files) != 0 {
		t.Errorf("left: %v", files)
	}
}

// TestMount takes blobs over from other repositories.
func TestMount(t *testing.T) {
	r := start(t, Options{})
	layer := r.blob("a", "layer").Digest.String()
	got := r.want(201, "", "POST", "/v2/b/c/blobs/uploads/?mount="+layer+"&from=a", "")
	if got.header.Get("Location") != "/v2/b/c/blobs/"+layer {
		t.Errorf("Location: %v", got.header)
	}
	r.want(201, "", "POST", "/v2/b/c/blobs/uploads/?mount="+layer+"&from=a", "")
	r.blob("b/c", "layer") // pushed all the same, it stays one file
	one, err1 := os.Stat(filepath.Join(r.root, "a/blobs/sha256", layer[7:]))
	two, err2 := os.Stat(filepath.Join(r.root, "b/c/blobs/sha256", layer[7:]))
	if err1 != nil || err2 != nil || !os.SameFile(one, two) {
		t.Errorf("not one file: %v, %v", err1, err2)
	}
	for _, from := range []string{"none", "", "..", "a/../a", "A"} {
		r.want(202, "", "POST", "/v2/d/blobs/uploads/?mount="+layer+"&from="+from, "")
	}
	r.want(202, "", "POST", "/v2/d/blobs/uploads/?mount="+digest.FromString("none").String()+"&from=a", "")
	r.want(404, codeBlobUnknown, "GET", "/v2/d/blobs/"+layer, "")
	r.want(202, "", "DELETE", "/v2/a/blobs/"+layer, "")
	if got := r.want(200, "", "GET", "/v2/b/c/blobs/"+layer, ""); got.body != "layer" {
		t.Errorf("the mounted blob is %q", got.body)
	}
	r.server.o.MountAny = true
	r.want(201, "", "POST", "/v2/d/blobs/uploads/?mount="+layer, "")
}

// full is a file on a disk that has room for so many bytes.
type full struct {
	*os.File
	room int
}

// Write writes what there is room for.
func (f *full) Write(p []byte) (int, error) {
	fits := min(len(p), f.room)
	n, err := f.File.Write(p[:fits])
	f.room -= n
	if err == nil && fits < len(p) {
		err = unix.ENOSPC
	}
	return n, err
}

// TestDiskFull has the disk take a part of a chunk: the digest is that of all bytes in the file, not of those that were hashed.
func TestDiskFull(t *testing.T) {
	r := start(t, Options{})
	at := r.startUploadOf("a")
	u, err := r.server.upload(r.server.repository("a"), filepath.Base(at))
	if err != nil {
		t.Fatal(err)
	}
	f, size, err := u.open()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	disk := &full{f, 10}
	for i, chunk := range []string{"content", " that is too long"} {
		n, err := u.receive(disk, size, strings.NewReader(chunk), digest.SHA256)
		if size += n; errors.Is(err, unix.ENOSPC) != (i == 1) {
			t.Fatalf("chunk %d: %d bytes, %v", i, n, err)
		}
	}
	if got := r.want(204, "", "GET", at, "").header.Get("Range"); got != "0-9" {
		t.Errorf("the range is %s", got)
	}
	d := digest.FromString("content that").String()
	r.want(201, "", "PUT", at+"?digest="+d, "at")
	checkFolder(t, r.root)

	at = r.startUploadOf("a")
	r.want(202, "", "PATCH", at, "content")
	if u, err = r.server.upload(r.server.repository("a"), filepath.Base(at)); err != nil {
		t.Fatal(err)
	}
	if f, size, err = u.open(); err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if n, err := u.receive(&full{f, 3}, size, strings.NewReader(" that"), digest.SHA256); n != 3 || err == nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	r.want(400, codeDigestInvalid, "PUT", at+"?digest="+digest.FromString("content").String(), "")
	checkFolder(t, r.root)
}

// TestDamagedBlob pushes a blob again of which the disk has lost a part.
func TestDamagedBlob(t *testing.T) {
	r := start(t, Options{})
	d := r.blob("a", "content").Digest
	if err := os.Truncate(r.server.repository("a").blob(d), 3); err != nil {
		t.Fatal(err)
	}
	r.blob("a", "content")
	if got := r.want(200, "", "GET", "/v2/a/blobs/"+d.String(), ""); got.body != "content" {
		t.Errorf("it comes back as %q", got.body)
	}
	if files := uploaded(t, r.root); len(files) != 0 {
		t.Errorf("left: %v", files)
	}
}

// TestStatusWaits asks for the status of an upload while a request still brings bytes.
func TestStatusWaits(t *testing.T) {
	r := start(t, Options{})
	r.server.quiet = time.Minute
	at := r.startUploadOf("a")
	u, err := r.server.upload(r.server.repository("a"), filepath.Base(at))
	if err != nil {
		t.Fatal(err)
	}
	if err := u.take(t.Context(), func() {}); err != nil {
		t.Fatal(err)
	}
	answers := make(chan response, 1)
	go func() { answers <- r.do("GET", at, "") }()
	select {
	case got := <-answers:
		t.Fatalf("it does not wait: %v", got)
	case <-time.After(100 * time.Millisecond): // long enough for an answer that does not wait
	}
	if err := os.WriteFile(u.file(), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	u.give()
	if got := <-answers; got.status != 204 || got.header.Get("Range") != "0-6" {
		t.Errorf("the status: %v", got)
	}
	if err := u.take(t.Context(), func() {}); err != nil { // and one that brings nothing
		t.Fatal(err)
	}
	defer u.give()
	r.server.quiet = time.Millisecond
	if got := r.want(204, "", "GET", at, "").header.Get("Range"); got != "0-6" {
		t.Errorf("the range is %s", got)
	}
}

// FuzzChunk understands a Content-Range.
func FuzzChunk(f *testing.F) {
	f.Add("0-3", int64(0), int64(4))
	f.Add("bytes 4-7/13", int64(4), int64(-1))
	f.Add("999999999999999999-0", int64(0), int64(0))
	f.Add("5-4", int64(5), int64(0))
	f.Fuzz(func(t *testing.T, header string, come, body int64) {
		if come < 0 || body < -1 {
			return
		}
		n, err := chunk(header, come, body)
		if err == nil && header != "" && (n < 0 || body >= 0 && n != body) {
			t.Errorf("%q after %d with %d bytes is a chunk of %d", header, come, body, n)
		}
	})
}
