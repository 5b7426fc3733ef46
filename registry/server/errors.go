// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"syscall"

	"github.com/opencontainers/go-digest"
)

// The codes of the specification ("Error Codes"). The last two are what the distribution project has for what the
// specification has no code for.
const (
	codeBlobUnknown         = "BLOB_UNKNOWN"
	codeUploadInvalid       = "BLOB_UPLOAD_INVALID"
	codeUploadUnknown       = "BLOB_UPLOAD_UNKNOWN"
	codeDigestInvalid       = "DIGEST_INVALID"
	codeManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
	codeManifestInvalid     = "MANIFEST_INVALID"
	codeManifestUnknown     = "MANIFEST_UNKNOWN"
	codeNameInvalid         = "NAME_INVALID"
	codeNameUnknown         = "NAME_UNKNOWN"
	codeSizeInvalid         = "SIZE_INVALID"
	codeTagInvalid          = "TAG_INVALID"
	codeUnauthorized        = "UNAUTHORIZED"
	codeDenied              = "DENIED"
	codeUnsupported         = "UNSUPPORTED"
	codePageInvalid         = "PAGINATION_NUMBER_INVALID"
	codeUnknown             = "UNKNOWN"
)

// refusal is an error that a client is told: its fault, or its bad luck.
type refusal struct {
	status  int
	code    string
	message string
}

// Error is the message.
func (e *refusal) Error() string { return e.message }

// notFound refuses a path that is none of the protocol.
func notFound(message string) error {
	return &refusal{http.StatusNotFound, codeUnsupported, message}
}

// nameInvalid refuses a repository's name.
func nameInvalid(name string) error {
	return &refusal{http.StatusBadRequest, codeNameInvalid, "the repository name " + quote(name) +
		" is invalid: it has lower-case letters, digits, single separators (. _ __ -) inside and /, and at most 255 bytes"}
}

// nameUnknown says that there is no such repository.
func nameUnknown(name string) error {
	return &refusal{http.StatusNotFound, codeNameUnknown, "there is no repository " + name}
}

// digestInvalid refuses a digest.
func digestInvalid(text, why string) error {
	return &refusal{http.StatusBadRequest, codeDigestInvalid, "the digest " + quote(text) + " is invalid: " + why}
}

// blobUnknown says that a repository has no such blob.
func blobUnknown(name string, d digest.Digest) error {
	return &refusal{http.StatusNotFound, codeBlobUnknown, fmt.Sprintf("the repository %s has no blob %s", name, d)}
}

// manifestUnknown says that a repository has no such manifest.
func manifestUnknown(name, reference string) error {
	return &refusal{http.StatusNotFound, codeManifestUnknown, fmt.Sprintf("the repository %s has no manifest %s", name, quote(reference))}
}

// manifestInvalid refuses a manifest.
func manifestInvalid(format string, arguments ...any) error {
	return &refusal{http.StatusBadRequest, codeManifestInvalid, "the manifest is invalid: " + fmt.Sprintf(format, arguments...)}
}

// uploadUnknown says that a repository has no such upload.
func uploadUnknown(name, id string) error {
	return &refusal{http.StatusNotFound, codeUploadUnknown, fmt.Sprintf("the repository %s has no upload %s: start a new one", name, quote(id))}
}

// unsupported refuses what the server doesn't do.
func unsupported(message string) error {
	return &refusal{http.StatusMethodNotAllowed, codeUnsupported, message}
}

// quote writes what came from a client as part of a message: bounded, and without control characters.
func quote(text string) string {
	if len(text) > 300 {
		text = text[:300] + "…"
	}
	return strconv.Quote(text)
}

// answer makes a refusal of any error. What is not the client's fault it is told no details of.
func answer(err error) *refusal {
	var r *refusal
	switch {
	case errors.As(err, &r):
		return r
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return &refusal{http.StatusInsufficientStorage, codeUnknown, "the registry's disk is full"}
	}
	return &refusal{http.StatusInternalServerError, codeUnknown, "the registry could not do it; its log says why"}
}

// write sends a refusal in the form of the specification.
func (e *refusal) write(w http.ResponseWriter) {
	type one struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, _ := json.Marshal(struct { // two texts: it cannot fail
		Errors []one `json:"errors"`
	}{[]one{{e.code, e.message}}})
	h := w.Header()
	for _, name := range []string{"Content-Range", "Docker-Content-Digest", "Etag"} { // what was set for another answer
		h.Del(name)
	}
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(e.status)
	_, _ = w.Write(body) // who has gone needs no answer
}
