// SPDX-License-Identifier: Apache-2.0

// Package credentials finds, keeps and forgets what a registry wants to know of its user.
//
// It reads and writes the file that docker login writes, ~/.docker/config.json (or config.json in $DOCKER_CONFIG), and
// reads the one of podman login ($REGISTRY_AUTH_FILE, $XDG_RUNTIME_DIR/containers/auth.json), so who is logged in with
// one of them is logged in here. A password stands there in plain base64, unless credsStore or credHelpers name a
// program, docker-credential-NAME, that keeps it in a better place.
//
// Every field that the package doesn't know stays as it is when the file is written: the file belongs to Docker.
//
// Read first: store.go.
package credentials
