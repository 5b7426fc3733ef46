// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// Push uploads a blob or manifest that the registry doesn't have. An upload that is cut goes on where the registry says, or from
// the beginning, if r is an [io.Seeker].
func (r *Repository) Push(ctx context.Context, d ocispec.Descriptor, from io.Reader) error {
	done, err := r.client.turn(ctx, r.object(d.Digest.String()))
	if err != nil {
		return err
	}
	defer done()
	there, err := r.Exists(ctx, d)
	if err != nil || there {
		return err
	}
	if isManifest(d.MediaType) {
		err = r.pushManifest(ctx, d, from)
	} else {
		err = r.pushBlob(ctx, d, newSource(d, from))
	}
	if err != nil {
		return fmt.Errorf("push %s: %w", r.object(d.Digest.String()), err)
	}
	return nil
}

// turn waits until nobody else pushes a blob: images that share it may be copied at once, and it shall be uploaded once. Debian's
// registry even gets confused by a manifest that is put while a blob of it is uploaded again.
func (c *Client) turn(ctx context.Context, blob string) (done func(), err error) {
	for {
		c.mutex.Lock()
		mine := make(chan struct{})
		other := remember(&c.pushing, blob, func() chan struct{} { return mine })
		c.mutex.Unlock()
		if other == mine {
			return func() {
				c.mutex.Lock()
				defer c.mutex.Unlock()
				delete(c.pushing, blob)
				close(mine)
			}, nil
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// upload is a session in which a blob is uploaded.
type upload struct {
	r        *Repository
	d        ocispec.Descriptor
	source   *source
	location *url.URL // where the next request goes, as the last answer said
	at       int64    // how many bytes the registry has
	least    int64    // how many it wants in a chunk that is not the last
	resumed  bool     // what it has it said itself
	small    bool     // all in one request was too much for it
}

// smallChunk is how many bytes go into one request where all of a blob is too much for the registry, or a proxy before it.
const smallChunk = 8 << 20

// Errors after which an upload goes on.
var (
	errGoOn    = errors.New("the registry has to be asked what it has")
	errRestart = errors.New("the upload has to begin again")
)

// pushBlob uploads a blob, over as many sessions and connections as it takes.
func (r *Repository) pushBlob(ctx context.Context, d ocispec.Descriptor, s *source) error {
	if d.Size == 0 {
		if err := s.finish(); err != nil {
			return err
		}
	}
	u, err := r.begin(ctx, d, s)
	if err != nil {
		return err
	}
	since := int64(0)
	for try := 0; ; try++ {
		err := u.run(ctx)
		if err == nil {
			return nil
		}
		if u.at-since >= much {
			try, since = 0, u.at
		}
		if try >= r.client.retries() || !s.again(err) || ctx.Err() != nil {
			u.cancel(ctx)
			return err
		}
		r.client.notice(fmt.Sprintf("%s: %v; going on", r.object(d.Digest.String()), err))
		if err := r.client.sleep(ctx, max(backoff(try), asked(err, r.client.now()))); err != nil {
			u.cancel(ctx)
			return err
		}
		if u, err = u.resume(ctx, errors.Is(err, errRestart)); err != nil {
			return err
		}
	}
}

// asked is how long a registry wants to be left alone, if not for too long.
func asked(err error, now time.Time) time.Duration {
	var answer *Error
	if !errors.As(err, &answer) {
		return 0
	}
	wait, _ := retryAfter(answer.retryAfter, now)
	return min(wait, maxAsked)
}

// resume asks the registry what it has of an upload that was cut, and begins another one if this is of no use any more.
func (u *upload) resume(ctx context.Context, restart bool) (*upload, error) {
	if !restart {
		err := u.ask(ctx)
		if !errors.Is(err, errRestart) {
			return u, err
		}
	}
	next, err := u.r.begin(ctx, u.d, u.source)
	if err == nil {
		next.small = u.small
	}
	return next, err
}

// begin opens a session.
func (r *Repository) begin(ctx context.Context, d ocispec.Descriptor, s *source) (*upload, error) {
	q := r.request(ctx, r.upstream(), http.MethodPost, "blobs/uploads/", nil)
	q.body = noBody
	response, err := r.client.ok(ctx, q, http.StatusAccepted)
	if err != nil {
		return nil, err
	}
	defer drain(response)
	u := &upload{r: r, d: d, source: s}
	if u.location, err = location(response.Request.URL, response); err != nil {
		return nil, err
	}
	u.least, _ = strconv.ParseInt(response.Header.Get("OCI-Chunk-Min-Length"), 10, 64)
	return u, nil
}

// noBody is a body without bytes, for methods that have one.
func noBody() (io.Reader, error) { return http.NoBody, nil }

// request makes a request to the session. It is not tried again like others: first the registry is asked what it has.
func (u *upload) request(ctx context.Context, method string) *request {
	q := u.r.request(ctx, u.r.upstream(), http.MethodPut, "", nil) // the scope of a push, whatever the method
	q.method, q.url, q.tries = method, u.location, 0
	if registry := u.r.client.url(ctx, u.r.upstream(), "", nil); !sameHost(q.url, registry) {
		q.scope = "" // a token is not for others
	}
	return q
}

// run uploads what is missing and closes the session: in one request, or where chunks are wanted or some bytes are there
// already in several.
func (u *upload) run(ctx context.Context) error {
	if u.at == 0 && u.d.Size <= u.chunk() {
		return u.put(ctx, u.d.Size)
	}
	for u.at < u.d.Size {
		if err := u.patch(ctx, min(u.chunk(), u.d.Size-u.at)); err != nil {
			return err
		}
	}
	return u.put(ctx, 0)
}

// chunk is how many bytes go into one request.
func (u *upload) chunk() int64 {
	size := u.r.client.ChunkSize
	if u.small {
		size = smallChunk
	}
	if size <= 0 {
		return u.d.Size
	}
	return max(size, u.least)
}

// body gives a request the next n bytes.
func (u *upload) body(q *request, n int64) {
	q.header.Set("Content-Type", "application/octet-stream")
	q.size = n
	q.body = func() (io.Reader, error) { return u.source.from(u.at) }
	if n == 0 {
		q.body = noBody
	}
}

// patch uploads the next n bytes.
func (u *upload) patch(ctx context.Context, n int64) error {
	q := u.request(ctx, http.MethodPatch)
	u.body(q, n)
	q.header.Set("Content-Range", fmt.Sprintf("%d-%d", u.at, u.at+n-1))
	response, err := u.send(ctx, q, http.StatusAccepted, http.StatusNoContent, http.StatusCreated)
	if err != nil {
		return err
	}
	defer drain(response)
	_, last, ok := parseSpan(response.Header.Get("Range"))
	if ok && last+1 != u.at+n {
		return fmt.Errorf("%w: the registry has %d bytes in place of %d", errRestart, last+1, u.at+n)
	}
	u.at += n
	return u.moved(response)
}

// moved takes over where the session goes on.
func (u *upload) moved(response *http.Response) error {
	if response.Header.Get("Location") == "" {
		return nil // as before
	}
	next, err := location(response.Request.URL, response)
	if err == nil {
		u.location = next
	}
	return err
}

// put closes the session with the last n bytes.
func (u *upload) put(ctx context.Context, n int64) error {
	q := u.request(ctx, http.MethodPut)
	target := *u.location
	query := target.Query()
	query.Set("digest", u.d.Digest.String())
	target.RawQuery = query.Encode()
	q.url = &target
	u.body(q, n)
	response, err := u.send(ctx, q, http.StatusCreated, http.StatusOK, http.StatusNoContent)
	if err != nil {
		if u.resumed && errors.Is(err, registry.ErrDigest) {
			return fmt.Errorf("%w: %w", errRestart, err)
		}
		return err
	}
	drain(response)
	return checkDigest(response, u.d.Digest)
}

// send sends a request of the session. An error of the source counts for more than the one that the connection had of it.
func (u *upload) send(ctx context.Context, q *request, statuses ...int) (*http.Response, error) {
	response, err := u.r.client.ok(ctx, q, statuses...)
	if err != nil && u.source.err != nil {
		return nil, u.source.err
	}
	var answer *Error
	if errors.As(err, &answer) {
		switch {
		case answer.Status == http.StatusRequestedRangeNotSatisfiable, busy(answer.Status):
			return nil, fmt.Errorf("%w: %w", errGoOn, err) // bytes that were under way may come after it was asked what it has
		case answer.Is(registry.ErrNotFound), answer.has("BLOB_UPLOAD_INVALID"), answer.has("BLOB_UPLOAD_UNKNOWN"):
			return nil, fmt.Errorf("%w: %w", errRestart, err)
		case answer.Status == http.StatusRequestEntityTooLarge && !u.small && u.chunk() > smallChunk:
			u.small = true
			return nil, fmt.Errorf("%w, in chunks: %w", errRestart, err)
		}
	}
	return response, err
}

// ask asks the registry how many bytes it has. One that doesn't know, or knows better than can be, gets a new session.
func (u *upload) ask(ctx context.Context) error {
	q := u.request(ctx, http.MethodGet)
	q.tries = u.r.client.retries()
	response, err := u.r.client.ok(ctx, q, http.StatusNoContent, http.StatusOK, http.StatusAccepted)
	if err != nil {
		var answer *Error
		if errors.As(err, &answer) {
			return fmt.Errorf("%w: %w", errRestart, err)
		}
		return err
	}
	defer drain(response)
	first, last, ok := parseSpan(response.Header.Get("Range"))
	at := last + 1
	if ok && last == 0 {
		at = 0 // nothing and one byte look the same: if it was one, the digest will be wrong
	}
	if !ok || first != 0 || at > u.source.hashed {
		return fmt.Errorf("%w: the registry doesn't say what it has, or more than was sent", errRestart)
	}
	u.at, u.resumed = at, true
	return u.moved(response)
}

// cancel ends a session that came to nothing, as well as it can; what stays the registry removes in time.
func (u *upload) cancel(ctx context.Context) {
	if u == nil {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer stop()
	if response, err := u.r.client.do(ctx, u.request(ctx, http.MethodDelete)); err == nil {
		drain(response)
	}
}

// Mount takes a blob over from another repository of the same registry. It is not an error if the registry wants the bytes
// in place of that.
func (r *Repository) Mount(ctx context.Context, d ocispec.Descriptor, from registry.Store) (bool, error) {
	other, ok := from.(*Repository)
	if !ok || other.upstream().host != r.upstream().host || other.path == r.path || isManifest(d.MediaType) {
		return false, nil
	}
	if err := registry.CheckDescriptor(d); err != nil {
		return false, err
	}
	q := r.request(ctx, r.upstream(), http.MethodPost, "blobs/uploads/", url.Values{"mount": {d.Digest.String()}, "from": {other.path}})
	q.scope += " repository:" + other.path + ":pull"
	q.body = noBody
	response, err := r.client.ok(ctx, q, http.StatusCreated, http.StatusAccepted)
	if mayPush(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("mount %s from %s: %w", r.object(d.Digest.String()), other.Name(), err)
	}
	defer drain(response)
	if response.StatusCode == http.StatusCreated {
		return true, checkDigest(response, d.Digest)
	}
	u := &upload{r: r, d: d}
	if u.location, err = location(response.Request.URL, response); err == nil {
		u.cancel(ctx)
	}
	return false, nil
}

// mayPush says of the error of a mount whether the bytes may be taken all the same: the user may not read the other repository, or
// the registry doesn't mount.
func mayPush(err error) bool {
	var answer *Error
	if !errors.As(err, &answer) {
		return false
	}
	switch answer.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed:
		return true
	}
	return false
}
