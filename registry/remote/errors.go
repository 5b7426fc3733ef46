// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"stave/registry"
)

// Errors that callers tell apart, with errors.Is, besides those of package registry.
var (
	// ErrUnauthorized says that the registry wants to know who is asking, or doesn't believe it.
	ErrUnauthorized = errors.New("unauthorized")
	// ErrDenied says that the user may not do this.
	ErrDenied = errors.New("denied")
	// ErrTooManyRequests says that the registry has had enough of this user or address for now.
	ErrTooManyRequests = errors.New("too many requests")
)

// Detail is one error that a registry told of (distribution-spec, "Error Codes"). Its texts have no control characters and
// are not long.
type Detail struct{ Code, Message string }

// Error is an answer that says that something went wrong.
type Error struct {
	Method, URL string // of the request, without its query, which may be a secret
	Status      int    // of the answer: 404
	Details     []Detail

	host       string
	login      string // the registry to log in to
	refused    bool   // a user name, a password or a token was sent
	token      bool   // it is a token service that answered: what it doesn't have is no manifest or blob
	retryAfter string
}

// The limits of what is kept of an error's body.
const (
	maxErrorBody = 64 << 10
	maxDetails   = 3
	maxText      = 300
)

// newError makes an error of an answer.
func newError(response *http.Response) *Error {
	request := response.Request
	text, _ := readAll(response.Body, maxErrorBody) // what came is better than nothing
	return &Error{
		Method: request.Method, URL: address(request.URL), Status: response.StatusCode, host: request.URL.Host,
		Details:    parseDetails(text),
		refused:    request.Header.Get("Authorization") != "",
		retryAfter: printable(response.Header.Get("Retry-After"), 40),
	}
}

// parseDetails reads the body of an error; token services have another form of their own:
//
//	{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown", "detail": {…}}]}
//	{"details": "incorrect username or password"}
func parseDetails(text []byte) []Detail {
	var body struct {
		Errors []struct {
			Code    string          `json:"code"`
			Message json.RawMessage `json:"message"`
		} `json:"errors"`
		Details json.RawMessage `json:"details"`
	}
	if json.Unmarshal(text, &body) != nil {
		return nil
	}
	var all []Detail
	for _, e := range body.Errors[:min(len(body.Errors), maxDetails)] {
		all = append(all, Detail{Code: printable(e.Code, 60), Message: printable(stringOf(e.Message), maxText)})
	}
	if words := stringOf(body.Details); len(all) == 0 && words != "" {
		all = append(all, Detail{Message: printable(words, maxText)})
	}
	return all
}

// stringOf is a value of JSON if it is a string.
func stringOf(value json.RawMessage) string {
	var text string
	_ = json.Unmarshal(value, &text) // anything else says nothing to people
	return text
}

// Error says what the registry answered, and what to do.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s answers %d", e.host, e.Status)
	if text := http.StatusText(e.Status); text != "" {
		b.WriteString(" " + strings.ToLower(text))
	}
	separator := ": "
	for _, d := range e.Details {
		if words := orElse(d.Message, d.Code); words != "" {
			b.WriteString(separator + words)
			separator = "; "
		}
	}
	if advice := e.advice(); advice != "" {
		b.WriteString("; " + advice)
	}
	return b.String()
}

// advice says what to do.
func (e *Error) advice() string {
	switch {
	case e.login == "":
	case e.Is(ErrUnauthorized) && e.refused:
		return "it doesn't accept this user or password, or they are not enough for this: stave login " + e.login
	case e.Is(ErrUnauthorized):
		return "there may be no such repository, or it is not for everybody: stave login " + e.login
	case e.Is(ErrDenied):
		return "this user may not do that; log in as another: stave login " + e.login
	case e.Is(ErrTooManyRequests) && e.retryAfter != "":
		return "it wants to be left alone for a while (" + e.retryAfter + "), or asked by somebody it knows: stave login " + e.login
	case e.Is(ErrTooManyRequests):
		return "wait a while, or log in: stave login " + e.login
	}
	return ""
}

// Is says whether the answer means one of the errors of this package or of package registry.
func (e *Error) Is(target error) bool {
	switch target {
	case registry.ErrNotFound:
		return e.Status == http.StatusNotFound && !e.token
	case registry.ErrUnsupported:
		return !e.token && (e.Status == http.StatusMethodNotAllowed || e.Status == http.StatusNotImplemented || e.has("UNSUPPORTED"))
	case registry.ErrDigest:
		return e.Status != http.StatusNotFound && e.has("DIGEST_INVALID")
	case ErrUnauthorized:
		return e.Status == http.StatusUnauthorized || e.has("UNAUTHORIZED")
	case ErrDenied:
		return e.Status == http.StatusForbidden || e.has("DENIED")
	case ErrTooManyRequests:
		return e.Status == http.StatusTooManyRequests || e.has("TOOMANYREQUESTS")
	}
	return false
}

// has says whether the registry told of an error with a code.
func (e *Error) has(code string) bool {
	for _, d := range e.Details {
		if d.Code == code {
			return true
		}
	}
	return false
}

// printable is a text of a stranger as it may be shown on a terminal: on one line, and not too long.
func printable(text string, limit int) string {
	var b strings.Builder
	for _, r := range text {
		if b.Len() >= limit {
			b.WriteString("…")
			break
		}
		switch {
		case unicode.IsSpace(r):
			b.WriteByte(' ')
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteRune('\uFFFD')
		}
	}
	return strings.TrimSpace(b.String())
}
