// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The waits before another try: the first, the longest, and the longest that a server may ask for.
const (
	firstWait   = 100 * time.Millisecond
	longestWait = 10 * time.Second
	maxAsked    = 2 * time.Minute
)

// do sends a request, and again when it fails in a way that may pass. An answer that still says so after the last try is
// returned like any other.
func (c *Client) do(ctx context.Context, q *request) (*http.Response, error) {
	for try := 0; ; try++ {
		response, err := c.authorized(ctx, q)
		if try >= q.tries || ctx.Err() != nil || !passing(response, err) {
			return response, err
		}
		wait := backoff(try)
		reason := fmt.Sprint(err)
		if err == nil {
			asked, ok := retryAfter(response.Header.Get("Retry-After"), c.now())
			if ok && asked > maxAsked {
				return response, nil
			}
			wait = max(wait, asked)
			reason = fmt.Sprintf("%s %s: %s", q.method, address(q.url), response.Status)
			drain(response)
		}
		c.notice(fmt.Sprintf("%s; trying again in %v", reason, wait.Round(time.Millisecond)))
		if err := c.sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// backoff is how long to wait after a try that failed, the first being 0: twice as long each time, less up to a half by
// chance, so that many who failed together don't come back together.
func backoff(try int) time.Duration {
	wait := min(firstWait<<min(try, 20), longestWait)
	return wait - rand.N(wait/2)
}

// passing says whether a failure may be over when the request is sent again.
func passing(response *http.Response, err error) bool {
	if err == nil {
		return busy(response.StatusCode)
	}
	var name *net.DNSError
	var local *localError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errRefused), errors.Is(err, http.ErrSchemeMismatch), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case refusedTLS(err), errors.As(err, &record), errors.As(err, &local):
		return false
	case errors.Is(err, syscall.ENETUNREACH): // this machine has no network at all
		return false
	case errors.As(err, &name):
		noNetwork := strings.HasSuffix(name.Err, syscall.ENETUNREACH.Error()) // the resolver keeps the words alone
		return (name.IsTimeout || name.IsTemporary) && !noNetwork
	}
	var answer *Error
	return !errors.As(err, &answer) // a token service that said no was tried again already
}

// busy says whether a status is one of a server that may be better later.
func busy(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// retryAfter reads how long a server wants to be left alone: seconds, or a date.
func retryAfter(text string, now time.Time) (time.Duration, bool) {
	text = strings.TrimSpace(text)
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if date, err := http.ParseTime(text); err == nil {
		return max(date.Sub(now), 0), true
	}
	return 0, false
}
