// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker-credential-helpers/client"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// ann is a credential; its password has the separator in it.
var ann = Credential{Username: "ann", Password: "se:cret"}

// annAuth is ann in the form of config.json.
const annAuth = "YW5uOnNlOmNyZXQ="

// write writes a file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefault(t *testing.T) {
	for name, c := range map[string]struct {
		environment map[string]string
		want        Store
	}{
		"home":   {map[string]string{"HOME": "/h"}, Store{File: "/h/.docker/config.json"}},
		"docker": {map[string]string{"HOME": "/h", "DOCKER_CONFIG": "/d"}, Store{File: "/d/config.json"}},
		"podman": {
			map[string]string{"HOME": "/h", "REGISTRY_AUTH_FILE": "/a.json", "XDG_RUNTIME_DIR": "/run/user/1"},
			Store{File: "/h/.docker/config.json", Others: []string{"/a.json", "/run/user/1/containers/auth.json"}},
		},
		"nothing": {nil, Store{}},
	} {
		t.Run(name, func(t *testing.T) {
			got := Default(func(name string) string { return c.environment[name] })
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestGet(t *testing.T) {
	entry := `{"auth":"` + annAuth + `"}`
	for name, c := range map[string]struct {
		text, name string
		want       Credential
	}{
		"by host":            {`{"auths":{"registry.example:5000":` + entry + `}}`, "registry.example:5000", ann},
		"of a repository":    {`{"auths":{"registry.example":` + entry + `}}`, "registry.example/team/app", ann},
		"another host":       {`{"auths":{"registry.example":` + entry + `}}`, "example", Credential{}},
		"another port":       {`{"auths":{"registry.example":` + entry + `}}`, "registry.example:5000", Credential{}},
		"Docker Hub":         {`{"auths":{"https://index.docker.io/v1/":` + entry + `}}`, "docker.io/library/busybox", ann},
		"Docker Hub, podman": {`{"auths":{"docker.io":` + entry + `}}`, "docker.io", ann},
		"old address":        {`{"auths":{"https://registry.example/v2/":` + entry + `}}`, "registry.example", ann},
		"nearest folder":     {`{"auths":{"r.io":{"auth":"eDp5"},"r.io/team":` + entry + `,"r.io/team/other":{"auth":"eDp5"}}}`, "r.io/team/app", ann},
		"not a namesake":     {`{"auths":{"r.io/tea":` + entry + `}}`, "r.io/team", Credential{}},
		"the plain key first": {
			`{"auths":{"https://r.io":{"auth":"eDp5"},"r.io":` + entry + `}}`, "r.io", ann,
		},
		"identity token": {`{"auths":{"r.io":{"auth":"YW5uOg==","identitytoken":"tok"}}}`, "r.io", Credential{Username: "ann", IdentityToken: "tok"}},
		"bearer token":   {`{"auths":{"r.io":{"registrytoken":"tok"}}}`, "r.io", Credential{RegistryToken: "tok"}},
		"in plain text":  {`{"auths":{"r.io":{"username":"ann","password":"se:cret"}}}`, "r.io", ann},
		"padded":         {`{"auths":{"r.io":{"auth":"YW5uOnNlOmNyZXQAAA=="}}}`, "r.io", ann},
		"nothing":        {`{"auths":{"r.io":{}}}`, "r.io", Credential{}},
		"empty file":     {"", "r.io", Credential{}},
		"null":           {`{"auths":null,"credHelpers":null}`, "r.io", Credential{}},
		"all null":       {`null`, "r.io", Credential{}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Store{File: write(t, c.text)}.Get(t.Context(), c.name)
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

func TestGetFromOthers(t *testing.T) {
	first, second := write(t, `{"auths":{"a.io":{"auth":"`+annAuth+`"}}}`), write(t, `{"auths":{"a.io":{"auth":"eDp5"},"b.io":{"auth":"eDp5"}}}`)
	s := Store{File: filepath.Join(t.TempDir(), "none"), Others: []string{first, second}}
	for name, want := range map[string]Credential{"a.io": ann, "b.io": {Username: "x", Password: "y"}, "c.io": {}} {
		if got, err := s.Get(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// TestBroken has files that say nothing sensible: the error names the file, and Put and Erase leave it alone.
func TestBroken(t *testing.T) {
	for name, text := range map[string]string{
		"no JSON": `{"auths":`, "a list": `[]`, "auths is a list": `{"auths":[]}`, "store is a number": `{"credsStore":1}`,
		"helpers": `{"credHelpers":{"r.io":{}}}`, "deep": strings.Repeat(`{"a":`, 20000), "too long": `{"a":"` + strings.Repeat("a", maxFile) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := Store{File: write(t, text)}
			_, err := s.Get(t.Context(), "r.io")
			if err == nil || !strings.Contains(err.Error(), s.File) {
				t.Errorf("get: %v", err)
			}
			if err := s.Put(t.Context(), "r.io", ann); err == nil {
				t.Error("put")
			}
			if _, err := s.Erase(t.Context(), "r.io"); err == nil {
				t.Error("erase")
			}
			if got, err := os.ReadFile(s.File); err != nil || string(got) != text {
				t.Error("the file was changed")
			}
		})
	}
	for name, entry := range map[string]string{"no base64": `{"auth":"!"}`, "no colon": `{"auth":"YW5u"}`, "no name": `{"auth":"OnNlY3JldA=="}`, "a number": `5`, "auth is one": `{"auth":5}`} {
		s := Store{File: write(t, `{"auths":{"r.io":`+entry+`,"other.io":{"auth":"`+annAuth+`"}}}`)}
		if _, err := s.Get(t.Context(), "r.io"); err == nil || !strings.Contains(err.Error(), s.File) || !strings.Contains(err.Error(), "r.io") {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := s.Get(t.Context(), "other.io"); err != nil || got != ann {
			t.Errorf("%s: the other: %+v, %v", name, got, err)
		}
		if err := s.Put(t.Context(), "r.io", ann); err != nil {
			t.Errorf("%s: put: %v", name, err)
		}
		if got, err := s.Get(t.Context(), "r.io"); err != nil || got != ann {
			t.Errorf("%s: after put: %+v, %v", name, got, err)
		}
	}
}

// TestPutKeepsTheRest changes a file with fields that nobody here knows.
func TestPutKeepsTheRest(t *testing.T) {
	const before = `{"HttpHeaders":{"X":"<&>"},"auths":{"https://index.docker.io/v1/":{"email":"a@b"},"registry-1.docker.io":{"auth":"eDp5"},"r.io":{"auth":"eDp5"}},"big":12345678901234567890,"psFormat":"table"}`
	s := Store{File: write(t, before)}
	if err := s.Put(t.Context(), "docker.io", ann); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.File)
	if err != nil {
		t.Fatal(err)
	}
	want := `{
	"HttpHeaders": {
		"X": "<&>"
	},
	"auths": {
		"https://index.docker.io/v1/": {
			"auth": "` + annAuth + `",
			"email": "a@b"
		},
		"r.io": {
			"auth": "eDp5"
		}
	},
	"big": 12345678901234567890,
	"psFormat": "table"
}
`
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
	if info, err := os.Stat(s.File); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestPutAndErase(t *testing.T) {
	s := Store{File: filepath.Join(t.TempDir(), "new", "config.json")}
	for name, c := range map[string]Credential{"a.io": ann, "docker.io": {Username: "ann", IdentityToken: "tok"}, "localhost:5000": {RegistryToken: "tok"}} {
		if err := s.Put(t.Context(), name, c); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), name); err != nil || got != c {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	if info, err := os.Stat(filepath.Dir(s.File)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder: %v, %v", info, err)
	}
	for _, want := range []bool{true, false} {
		if found, err := s.Erase(t.Context(), "docker.io"); err != nil || found != want {
			t.Errorf("erase: %v, %v", found, err)
		}
		if got, err := s.Get(t.Context(), "docker.io"); err != nil || !got.Empty() {
			t.Errorf("after erase: %+v, %v", got, err)
		}
	}
	if got, err := s.Get(t.Context(), "a.io"); err != nil || got != ann {
		t.Errorf("the other: %+v, %v", got, err)
	}
	if err := (Store{}).Put(t.Context(), "a.io", ann); err == nil || !strings.Contains(err.Error(), "set HOME") {
		t.Errorf("without a place: %v", err)
	}
}

// TestSymlink changes the file that a link points to, and keeps the link.
func TestSymlink(t *testing.T) {
	real := write(t, `{}`)
	link := filepath.Join(t.TempDir(), "config.json")
	if err := os.Symlink(real, link); err != nil {
		t.Fatal(err)
	}
	if err := (Store{File: link}).Put(t.Context(), "a.io", ann); err != nil {
		t.Fatal(err)
	}
	if got, err := (Store{File: real}).Get(t.Context(), "a.io"); err != nil || got != ann {
		t.Errorf("%+v, %v", got, err)
	}
	if info, err := os.Lstat(link); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestLeftOver finds what a crash left in the middle of a write, here a link that would lead the write elsewhere.
func TestLeftOver(t *testing.T) {
	s := Store{File: write(t, `{}`)}
	victim := write(t, "victim")
	if err := os.Symlink(victim, filepath.Join(filepath.Dir(s.File), ".config.json.stave")); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "a.io", ann); err != nil {
		t.Fatal(err)
	}
	if text, _ := os.ReadFile(victim); string(text) != "victim" {
		t.Errorf("written through the link: %q", text)
	}
	wantOnly(t, filepath.Dir(s.File), "config.json")
}

// wantOnly fails the test if a folder has other files.
func wantOnly(t *testing.T, folder string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

// TestManyWriters has many change one file: none of the changes is lost.
func TestManyWriters(t *testing.T) {
	s := Store{File: filepath.Join(t.TempDir(), "config.json")}
	var group sync.WaitGroup
	for i := range 16 {
		group.Go(func() {
			if err := s.Put(t.Context(), string(rune('a'+i))+".io", ann); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	for i := range 16 {
		if got, err := s.Get(t.Context(), string(rune('a'+i))+".io"); err != nil || got != ann {
			t.Errorf("%c.io: %+v, %v", 'a'+i, got, err)
		}
	}
	wantOnly(t, filepath.Dir(s.File), "config.json")
}

// helper is a credential helper that keeps its secrets in a map, in the language that the programs speak.
type helper struct{ kept map[string]map[string]string }

// program runs the helper.
func (h *helper) program(_ context.Context, name string) client.ProgramFunc {
	return func(args ...string) client.Program { return &run{h: h, name: name, action: args[0]} }
}

// run is one run of it.
type run struct {
	h            *helper
	name, action string
	in           []byte
}

// Input reads what the program gets.
func (r *run) Input(in io.Reader) { r.in, _ = io.ReadAll(in) }

// Output does what the program does.
func (r *run) Output() ([]byte, error) {
	if r.name != "docker-credential-test" {
		return nil, errors.New("no such program " + r.name)
	}
	server := strings.TrimSpace(string(r.in))
	switch r.action {
	case "store":
		var c map[string]string
		if err := json.Unmarshal(r.in, &c); err != nil {
			return nil, err
		}
		r.h.kept[c["ServerURL"]] = c
		return nil, nil
	case "erase":
		delete(r.h.kept, server)
		return nil, nil
	}
	c, ok := r.h.kept[server]
	if !ok {
		return []byte("credentials not found in native keychain\n"), errors.New("exit status 1")
	}
	return json.Marshal(c)
}

func TestHelper(t *testing.T) {
	h := &helper{kept: map[string]map[string]string{}}
	s := Store{File: write(t, `{"credsStore":"test","credHelpers":{"plain.io":""},"auths":{"old.io":{"auth":"`+annAuth+`"}}}`), Helper: h.program}
	token := Credential{IdentityToken: "tok"}
	for name, c := range map[string]Credential{"docker.io": ann, "a.io": token} {
		if err := s.Put(t.Context(), name, c); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Get(t.Context(), name+"/some/app"); err != nil || got != c {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	want := map[string]map[string]string{
		"https://index.docker.io/v1/": {"ServerURL": "https://index.docker.io/v1/", "Username": "ann", "Secret": "se:cret"},
		"a.io":                        {"ServerURL": "a.io", "Username": "<token>", "Secret": "tok"},
	}
	if diff := cmp.Diff(want, h.kept); diff != "" {
		t.Error(diff)
	}
	text, _ := os.ReadFile(s.File)
	if strings.Contains(string(text), `"tok"`) || strings.Count(string(text), annAuth) != 1 || !strings.Contains(string(text), `"a.io": {}`) {
		t.Errorf("the file: %s", text)
	}
	if got, err := s.Get(t.Context(), "old.io"); err != nil || got != ann { // which only the file has
		t.Errorf("%+v, %v", got, err)
	}
	for _, want := range []bool{true, false} {
		if found, err := s.Erase(t.Context(), "a.io"); err != nil || found != want {
			t.Errorf("erase: %v, %v", found, err)
		}
	}
	if len(h.kept) != 1 {
		t.Errorf("kept: %v", h.kept)
	}
}

// TestHelperMissing names a program that is not there, or is none.
func TestHelperMissing(t *testing.T) {
	for name, want := range map[string]string{"none-such": "docker-credential-none-such", "../../bin/sh": "no name of a credential helper", "-x": "no name of"} {
		s := Store{File: write(t, `{"credHelpers":{"r.io":"`+name+`"}}`)}
		_, err := s.Get(t.Context(), "r.io")
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), s.File) {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := s.Get(t.Context(), "other.io"); err != nil || !got.Empty() {
			t.Errorf("another registry: %+v, %v", got, err)
		}
	}
}

// TestHelperProgram runs a real program, a script in PATH, and one that never ends.
func TestHelperProgram(t *testing.T) {
	folder := t.TempDir()
	script := "#!/bin/sh\nread server\n[ \"$1\" = get ] || exit 1\n[ \"$server\" = r.io ] || exec sleep 1000\necho '{\"Username\":\"ann\",\"Secret\":\"se:cret\"}'\n"
	if err := os.WriteFile(filepath.Join(folder, "docker-credential-script"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
	s := Store{File: write(t, `{"credsStore":"script"}`)}
	if got, err := s.Get(t.Context(), "r.io"); err != nil || got != ann {
		t.Errorf("%+v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var stopped *exec.ExitError
	if _, err := s.Get(ctx, "slow.io"); err == nil || errors.As(err, &stopped) && stopped.Success() {
		t.Errorf("got %v", err)
	}
}

func FuzzFile(f *testing.F) {
	for _, seed := range []string{
		`{"auths":{"r.io":{"auth":"` + annAuth + `","email":"x"}},"credsStore":"x","n":1e400}`, `{"auths":{"https://index.docker.io/v1/":{}}}`,
		`{"auths":{"":{"auth":"Og=="}}}`, `{"auths":{"r.io":null}}`, `{"auths":{"r.io":{"auth":"` + annAuth + `"},"r.io/":{}}}`, `null`, `{"a":"` + "\xff" + `"}`,
	} {
		f.Add([]byte(seed), "r.io/app")
	}
	f.Fuzz(func(t *testing.T, text []byte, name string) {
		before, err := parseFile("x", text)
		if err != nil {
			return
		}
		before.get(name)
		before.helper(name)
		if before.auths["new.io"], err = encodeEntry(ann, before.auths["new.io"]); err != nil {
			t.Fatal(err)
		}
		written, err := before.text()
		if err != nil {
			t.Fatal(err)
		}
		after, err := parseFile("x", written)
		if err != nil {
			t.Fatalf("%q: what was written can't be read: %v", written, err)
		}
		if got, err := after.get("new.io"); err != nil || got != ann {
			t.Errorf("%q: %+v, %v", written, got, err)
		}
		if len(after.fields) != len(before.fields) || after.store != before.store {
			t.Errorf("%q became %q", text, written)
		}
	})
}

// TestOwnerAndMode has root change the file of a user whose group may read it: it stays theirs.
func TestOwnerAndMode(t *testing.T) {
	s := Store{File: write(t, `{}`)}
	if err := os.Chmod(s.File, 0o640); err != nil {
		t.Fatal(err)
	}
	root := os.Geteuid() == 0
	if root {
		if err := os.Chown(s.File, 12345, 12346); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Put(t.Context(), "a.io", ann); err != nil {
		t.Fatal(err)
	}
	var stat unix.Stat_t
	if err := unix.Stat(s.File, &stat); err != nil {
		t.Fatal(err)
	}
	if stat.Mode&0o777 != 0o640 || root && (stat.Uid != 12345 || stat.Gid != 12346) {
		t.Errorf("mode %o, owner %d:%d", stat.Mode&0o777, stat.Uid, stat.Gid)
	}
}
