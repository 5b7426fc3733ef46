// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// newReader reads a text.
func newReader(text string) *bufio.Reader { return bufio.NewReader(strings.NewReader(text)) }

// listing lists all files of a folder with their sizes and times.
func listing(t *testing.T, root string) string {
	t.Helper()
	var list strings.Builder
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&list, path, info.Size(), info.Mode(), info.ModTime())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list.String()
}

// checkFolder holds every file that a registry might serve against its name.
func checkFolder(t *testing.T, root string) (blobs int) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		algorithm := digest.Algorithm(filepath.Base(filepath.Dir(path)))
		if !algorithm.Available() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if got := algorithm.FromBytes(text).Encoded(); got != filepath.Base(path) {
			t.Errorf("%s has %d bytes with the digest %s", path, len(text), got)
		}
		blobs++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return blobs
}

// serveForever is the registry that TestKilled kills. It prints its address.
func serveForever(root string) error {
	s, err := Open(root, Options{Problem: func(err error) { fmt.Fprintln(os.Stderr, err) }})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Printf("http://%s\n", listener.Addr())
	return http.Serve(listener, s)
}
