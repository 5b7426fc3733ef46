// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/crypto/bcrypt"

	"stave/internal/witness"
	"stave/registry/server"
)

// TestImageScripts plays the commands for images, each play with a state folder and registries of its own: REGISTRY lets everybody in, AUTH the
// user named user with the password secret, and FILES serves the files of the play.
func TestImageScripts(t *testing.T) {
	witness.Need(t, "root", "command:podman", "command:skopeo", "command:umoci")
	open, closed := serve(t, ""), serve(t, "user:secret")
	testscript.Run(t, testscript.Params{
		Dir: "testdata/image",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "podman": podman,
		},
		Setup: func(e *testscript.Env) error {
			e.Setenv("PATH", filepath.Dir(stave)+string(filepath.ListSeparator)+e.Getenv("PATH"))
			e.Setenv("STAVE_STATE", filepath.Join(e.WorkDir, "state"))
			e.Setenv("DOCKER_CONFIG", filepath.Join(e.WorkDir, "docker"))
			e.Setenv("REGISTRY", open())
			e.Setenv("AUTH", closed())
			e.Setenv("ARCH", runtime.GOARCH)
			files := httptest.NewServer(http.FileServer(http.Dir(e.WorkDir)))
			t.Cleanup(files.Close)
			e.Setenv("FILES", files.URL)
			e.Setenv("PODMAN_RUN", folder(t)) // podman wants a short path
			e.Setenv("HOME", e.WorkDir)
			return nil
		},
	})
}

// serve returns a function that starts a registry for one play and returns its address; an account is NAME:PASSWORD.
func serve(t *testing.T, account string) func() string {
	return func() string {
		dir := folder(t)
		var o server.Options
		if account != "" {
			name, password, _ := strings.Cut(account, ":")
			hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(dir, "accounts")
			put(t, file, name+":"+string(hash)+"\n", 0o600)
			if o.Accounts, err = server.OpenAccounts(file, nil); err != nil {
				t.Fatal(err)
			}
		}
		s, err := server.Open(filepath.Join(dir, "registry"), o)
		if err != nil {
			t.Fatal(err)
		}
		web := httptest.NewServer(s)
		t.Cleanup(func() {
			web.Close()
			s.Close()
		})
		return strings.TrimPrefix(web.URL, "http://")
	}
}

// exits runs a command that ends with an exit code: exits CODE PROGRAM ARGUMENT...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGUMENT...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if exit, ok := err.(*exec.ExitError); ok {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// podman runs podman with a store of the play's own.
func podman(ts *testscript.TestScript, neg bool, args []string) {
	dir := ts.Getenv("WORK")
	global := []string{"--root", filepath.Join(dir, "podman"), "--runroot", ts.Getenv("PODMAN_RUN"), "--storage-driver", "vfs", "--events-backend", "none"}
	err := ts.Exec("podman", append(global, args...)...)
	if (err != nil) != neg {
		ts.Fatalf("podman %q: %v", args, err)
	}
}
