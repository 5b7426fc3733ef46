// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"

	"github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"
)

// helperName is what a helper may be called: never a path.
var helperName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)

// program is a run of a credential helper that ends with its context.
type program struct{ command *exec.Cmd }

// Output runs the program and returns what it writes.
func (p program) Output() ([]byte, error) { return p.command.Output() }

// Input is what the program gets to read.
func (p program) Input(in io.Reader) { p.command.Stdin = in }

// start is how a helper is started.
func (s Store) start(ctx context.Context, helper string) (client.ProgramFunc, error) {
	if !helperName.MatchString(helper) {
		return nil, fmt.Errorf("%q is no name of a credential helper", helper)
	}
	name := "docker-credential-" + helper
	if s.Helper != nil {
		return s.Helper(ctx, name), nil
	}
	if _, err := exec.LookPath(name); err != nil {
		return nil, fmt.Errorf("find credential helper: %w; install it, or remove its name from the file", err)
	}
	return func(args ...string) client.Program {
		command := exec.CommandContext(ctx, name, args...)
		command.Stderr = os.Stderr
		return program{command}
	}, nil
}

// ask gets a credential from a helper; one that it doesn't have is empty.
func (s Store) ask(ctx context.Context, helper, server string) (Credential, error) {
	start, err := s.start(ctx, helper)
	if err != nil {
		return Credential{}, err
	}
	c, err := client.Get(start, server)
	if credentials.IsErrCredentialsNotFound(err) {
		return Credential{}, nil
	}
	if err != nil {
		return Credential{}, fmt.Errorf("ask docker-credential-%s for %s: %w", helper, server, err)
	}
	return ofHelper(c), nil
}

// hand gives a credential to a helper to keep.
func (s Store) hand(ctx context.Context, helper, server string, c Credential) error {
	start, err := s.start(ctx, helper)
	if err != nil {
		return err
	}
	if err := client.Store(start, forHelper(server, c)); err != nil {
		return fmt.Errorf("give the credential for %s to docker-credential-%s: %w", server, helper, err)
	}
	return nil
}

// forget has a helper forget a credential and reports whether it had one.
func (s Store) forget(ctx context.Context, helper, server string) (bool, error) {
	had, err := s.ask(ctx, helper, server)
	if err != nil || had.Empty() {
		return false, err
	}
	start, err := s.start(ctx, helper)
	if err != nil {
		return false, err
	}
	if err := client.Erase(start, server); err != nil {
		return false, fmt.Errorf("erase the credential for %s in docker-credential-%s: %w", server, helper, err)
	}
	return true, nil
}
