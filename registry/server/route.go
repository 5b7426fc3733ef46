// SPDX-License-Identifier: Apache-2.0

package server

import (
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// kind is what a path of the protocol stands for: an end point of the specification.
type kind int

// The end points, and their paths behind /v2/.
const (
	base      kind = iota + 1 // (nothing)
	catalog                   // _catalog
	tags                      // NAME/tags/list
	manifests                 // NAME/manifests/REFERENCE
	blobs                     // NAME/blobs/DIGEST
	uploads                   // NAME/blobs/uploads/
	session                   // NAME/blobs/uploads/ID
	referrers                 // NAME/referrers/DIGEST
)

// route is a path, understood.
type route struct {
	kind kind
	name string // of the repository
	// last is the path's last component: a tag or digest, as it came; or the id of an upload.
	last string
}

// The grammars of the specification. A name has at most 255 bytes, as most clients have it, with which it is a path for
// any file system.
var (
	nameGrammar = regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar  = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	idGrammar   = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// maxName is how many bytes a repository's name may have.
const maxName = 255

// parseRoute understands a path that starts with /v2/. It reads from the right, since any word may be part of a name:
// a/blobs/uploads/manifests/x is the manifest x of the repository a/blobs/uploads.
func parseRoute(path string) (route, error) {
	rest := strings.TrimPrefix(path, "/v2/")
	switch rest {
	case "", "/v2":
		return route{kind: base}, nil
	case "_catalog":
		return route{kind: catalog}, nil
	}
	words := strings.Split(rest, "/")
	n := len(words)
	r := route{last: words[n-1]}
	cut := n - 2 // where the name ends
	switch {
	case n >= 3 && words[n-2] == "tags" && r.last == "list":
		r.kind = tags
	case n >= 3 && words[n-2] == "manifests":
		r.kind = manifests
	case n >= 3 && words[n-2] == "referrers":
		r.kind = referrers
	case n >= 3 && words[n-2] == "blobs" && r.last == "uploads":
		r.kind = uploads
	case n >= 3 && words[n-2] == "blobs":
		r.kind = blobs
	case n >= 4 && words[n-3] == "blobs" && words[n-2] == "uploads":
		r.kind, cut = session, n-3
		if r.last == "" {
			r.kind = uploads
		}
	default:
		return route{}, notFound("there is nothing at " + quote(path))
	}
	r.name = strings.Join(words[:cut], "/")
	return r, checkName(r.name)
}

// checkName checks a repository's name.
func checkName(name string) error {
	if len(name) > maxName || !nameGrammar.MatchString(name) {
		return nameInvalid(name)
	}
	return nil
}

// parseDigest understands a digest of one of the two algorithms that the server keeps.
func parseDigest(text string) (digest.Digest, error) {
	d := digest.Digest(text)
	if err := d.Validate(); err != nil || !slices.Contains(algorithms(), d.Algorithm()) {
		return "", digestInvalid(text, "it is not of the form sha256:HEX or sha512:HEX")
	}
	return d, nil
}

// algorithms are the digests that the server keeps blobs under.
func algorithms() []digest.Algorithm { return []digest.Algorithm{digest.SHA256, digest.SHA512} }

// reserved are the file names of a layout that a component of a name could be.
func reserved() []string {
	return []string{"blobs", "index.json", "ingest", "leases", "lock", "oci-layout"}
}

// folderOf is the path of a repository's folder below the root.
func folderOf(name string) string {
	words := strings.Split(name, "/")
	for i, word := range words {
		if slices.Contains(reserved(), word) {
			words[i] = word + "_"
		}
	}
	return strings.Join(words, "/")
}

// nameOf is the opposite of folderOf.
func nameOf(folder string) string {
	words := strings.Split(folder, "/")
	for i, word := range words {
		words[i] = strings.TrimSuffix(word, "_")
	}
	return strings.Join(words, "/")
}
