// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/distribution/reference"
	"golang.org/x/sys/unix"

	"stave/registry"
	"stave/registry/layout"
	"stave/registry/remote"
)

// server is a docker-registry on loopback.
type server struct {
	address string
	process *exec.Cmd
}

// serve starts docker-registry, which keeps its data below root. Its configuration and what it says lie in dir. It is started by the
// thread of the view, whose end is its end too, should nobody close it.
func serve(ctx context.Context, v *view, dir, root string) (*server, error) {
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		return nil, fmt.Errorf("there is no docker-registry (Debian: docker-registry)")
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", root, address)
	name := filepath.Join(dir, "registry.yml")
	if err := os.WriteFile(name, []byte(config), 0o644); err != nil {
		return nil, err
	}
	said, err := os.Create(filepath.Join(dir, "registry.log"))
	if err != nil {
		return nil, err
	}
	defer said.Close()
	s := &server{address: address, process: exec.Command(program, "serve", name)}
	s.process.Stdout, s.process.Stderr = said, said
	s.process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if v.do(func() { err = s.process.Start() }); err != nil {
		return nil, err
	}
	if err := s.answers(ctx); err != nil {
		s.close()
		text, _ := os.ReadFile(said.Name())
		return nil, fmt.Errorf("docker-registry: %w: %s", err, text)
	}
	return s, nil
}

// freeAddress is one of loopback that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// answers waits until the registry does.
func (s *server) answers(ctx context.Context) error {
	ctx, stop := context.WithTimeout(ctx, time.Minute)
	defer stop()
	for {
		response, err := http.Get("http://" + s.address + "/v2/")
		if err == nil {
			return response.Body.Close()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// close ends the registry.
func (s *server) close() {
	_ = s.process.Process.Kill() // one that has ended is no matter
	_ = s.process.Wait()
}

// name is the image's in this registry.
func (s *server) name() string { return s.address + "/" + imageName + ":1" }

// fill pushes the image of a layout. One that the registry has is not pushed again.
func (s *server) fill(ctx context.Context, image string) error {
	l, err := layout.Open(image)
	if err != nil {
		return err
	}
	name, err := reference.ParseNormalizedNamed(s.name())
	if err != nil {
		return err
	}
	target, err := new(remote.Client).Repository(name)
	if err != nil {
		return err
	}
	_, err = registry.Copy(ctx, target, "1", l, imageName, registry.CopyOptions{})
	return err
}

// warm reads all files of folders, so that they are in the page cache.
func warm(dirs ...string) error {
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			if err != nil || !entry.Type().IsRegular() {
				return err
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(io.Discard, f)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// settle waits until the file system of a folder has written all it has to (syncfs(2)), so that no task pays for the one before.
func settle(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}
