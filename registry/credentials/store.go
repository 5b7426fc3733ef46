// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/docker/docker-credential-helpers/client"
)

// Store is where the credentials of a user are. Registries go by their host, with the port if there is one: docker.io,
// registry.example, localhost:5000.
type Store struct {
	// File is Docker's config.json, which is read and written.
	File string
	// Others are files of the same form that are only read, in order, after File.
	Others []string
	// Helper starts a credential helper by the name of its program; nil starts the one in PATH.
	Helper func(ctx context.Context, program string) client.ProgramFunc
}

// Default is the store that Docker and podman use, found by the variables of the environment.
func Default(variable func(name string) string) Store {
	var s Store
	if folder := variable("DOCKER_CONFIG"); folder != "" {
		s.File = filepath.Join(folder, "config.json")
	} else if home := variable("HOME"); home != "" {
		s.File = filepath.Join(home, ".docker", "config.json")
	}
	if file := variable("REGISTRY_AUTH_FILE"); file != "" {
		s.Others = append(s.Others, file)
	}
	if folder := variable("XDG_RUNTIME_DIR"); folder != "" {
		s.Others = append(s.Others, filepath.Join(folder, "containers", "auth.json"))
	}
	return s
}

// Get finds the credential for a registry, or for a repository in it (registry.example/team/app): podman keeps such, and the
// nearest one counts. Nothing found is an empty credential and no error.
func (s Store) Get(ctx context.Context, name string) (Credential, error) {
	for _, path := range append([]string{s.File}, s.Others...) {
		if path == "" {
			continue
		}
		f, err := readFile(path)
		if err != nil {
			return Credential{}, err
		}
		c, err := s.find(ctx, f, name)
		if err != nil || !c.Empty() {
			return c, err
		}
	}
	return Credential{}, nil
}

// find looks into one file and asks the helper that it names.
func (s Store) find(ctx context.Context, f *file, name string) (Credential, error) {
	if helper := f.helper(name); helper != "" {
		c, err := s.ask(ctx, helper, keyOf(hostOf(name)))
		if err != nil {
			return Credential{}, fmt.Errorf("%w (%s names this helper)", err, f.path)
		}
		if !c.Empty() {
			return c, nil
		}
	}
	return f.get(name)
}

// Put keeps a credential for a registry: with the helper that the file names, or in the file.
func (s Store) Put(ctx context.Context, host string, c Credential) error {
	return s.edit(func(f *file) error {
		kept := c
		if helper := f.helper(host); helper != "" {
			if err := s.hand(ctx, helper, keyOf(host), c); err != nil {
				return fmt.Errorf("%w (%s names this helper)", err, f.path)
			}
			kept = Credential{} // only that there is one
		}
		f.forgetOthers(host)
		text, err := encodeEntry(kept, f.auths[keyOf(host)])
		if err != nil {
			return err
		}
		f.auths[keyOf(host)] = text
		return nil
	})
}

// Erase forgets the credential for a registry and reports whether there was one.
func (s Store) Erase(ctx context.Context, host string) (bool, error) {
	found := false
	err := s.edit(func(f *file) error {
		for key := range f.auths {
			if nameOf(key) == host {
				delete(f.auths, key)
				found = true
			}
		}
		helper := f.helper(host)
		if helper == "" {
			return nil
		}
		erased, err := s.forget(ctx, helper, keyOf(host))
		if err != nil {
			return fmt.Errorf("%w (%s names this helper)", err, f.path)
		}
		found = found || erased
		return nil
	})
	return found, err
}

// edit changes the file.
func (s Store) edit(how func(*file) error) error {
	if s.File == "" {
		return errors.New("there is no place for credentials: set HOME or DOCKER_CONFIG")
	}
	return change(s.File, how)
}

// helper is the name of the helper for a registry, without docker-credential-, or nothing.
func (f *file) helper(name string) string {
	if key, found := lookUp(f.helpers, hostOf(name)); found {
		return f.helpers[key]
	}
	return f.store
}

// forgetOthers removes what older files have for a registry under other keys.
func (f *file) forgetOthers(host string) {
	for key := range f.auths {
		if nameOf(key) == host && key != keyOf(host) {
			delete(f.auths, key)
		}
	}
}
