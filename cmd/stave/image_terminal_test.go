// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// TestLoginOnATerminal types a name and a password, which the terminal must not show, and finds both in the file that docker reads.
func TestLoginOnATerminal(t *testing.T) {
	host, config := serve(t, "user:secret")(), folder(t)
	c := staveIn(filepath.Join(folder(t), "state"), "login", host)
	c.Env = append(c.Env, "DOCKER_CONFIG="+config)
	p := sitDown(t, c)
	p.until("Username for " + host + ": ")
	p.types("user\n")
	p.until("Password: ")
	witness.Until(t, "the terminal shows nothing more", func() bool {
		mode, err := unix.IoctlGetTermios(int(p.slave.Fd()), unix.TCGETS)
		return err == nil && mode.Lflag&unix.ECHO == 0
	})
	p.types("secret\n")
	p.until("Login Succeeded")
	wait(t, c)
	if code(c) != 0 || strings.Contains(p.String(), "secret") {
		t.Errorf("exit code %d; the terminal shows %q", code(c), p)
	}
	data, err := os.ReadFile(filepath.Join(config, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Auths map[string]struct{ Auth string }
	}
	if err := json.Unmarshal(data, &file); err != nil || file.Auths[host].Auth != "dXNlcjpzZWNyZXQ=" {
		t.Errorf("config.json is %s, %v", data, err)
	}
}

// TestPullOnATerminal sees bars, one for each layer, that say in the end what became of it.
func TestPullOnATerminal(t *testing.T) {
	witness.Need(t, "root")
	host, state := serve(t, "")(), filepath.Join(folder(t), "state")
	name := host + "/team/app"
	must(t, state, "import", makeBox(t), name)
	must(t, state, "push", name)
	must(t, state, "image", "prune", "-af")
	c := staveIn(state, "pull", name)
	p := sitDown(t, c)
	p.until("latest: Pulling from team/app")
	p.until("Pull complete")
	p.until("[==")
	p.until("Status: Downloaded newer image for " + name)
	wait(t, c)
	if code(c) != 0 || strings.Contains(p.String(), "Pulling fs layer\r\n") {
		t.Errorf("exit code %d; the terminal shows %q", code(c), p)
	}
	archive := staveIn(state, "save", name)
	p = sitDown(t, archive)
	p.until("an archive is not written to a terminal")
	wait(t, archive)
	if code(archive) != 1 {
		t.Errorf("save to a terminal ends with %d", code(archive))
	}
}
