// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"stave/internal/witness"
)

// users are who runs the step, and what that needs.
func users() map[string]func(*exec.Cmd) *exec.Cmd {
	return map[string]func(*exec.Cmd) *exec.Cmd{"root": func(c *exec.Cmd) *exec.Cmd { return c }, "userns": nobody}
}

// each runs a test for each user, with a folder of his.
func each(t *testing.T, test func(t *testing.T, as func(*exec.Cmd) *exec.Cmd, s stack)) {
	for need, as := range users() {
		t.Run(need, func(t *testing.T) {
			witness.Need(t, need, "command:busybox", "filesystem:overlay")
			output, err := as(exec.Command("mktemp", "-d")).Output()
			if err != nil {
				t.Fatal(err)
			}
			s := stack{strings.TrimSpace(string(output))}
			t.Cleanup(func() { os.RemoveAll(s.dir) })
			test(t, as, s)
		})
	}
}

// blobs lists the blobs of a layout, and sees that each has its digest for a name.
func blobs(t *testing.T, layout string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(layout, "blobs/sha256/*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s has the blobs %v, error %v", layout, files, err)
	}
	var names []string
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != filepath.Base(file) {
			t.Errorf("%s has the digest %x", file, sum)
		}
		names = append(names, filepath.Base(file))
	}
	return names
}

// requests are the lines of a part of the output, with names of uploads and digests left out.
func requests(output, title string) []string {
	_, rest, _ := strings.Cut(output, title)
	var lines []string
	for line := range strings.Lines(rest) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		words := strings.Fields(line)
		if words[0] != strings.ToUpper(words[0]) || len(words) < 2 {
			break
		}
		line, _, _ = strings.Cut(words[0]+" "+words[1], "?")
		lines = append(lines, regexp.MustCompile(`sha256:.*|uploads/.+`).ReplaceAllString(line, "…"))
	}
	return lines
}

// TestTravel looks at the folders before and after the journey, and at the requests.
func TestTravel(t *testing.T) {
	each(t, func(t *testing.T, as func(*exec.Cmd) *exec.Cmd, s stack) {
		output, code := finish(t, as(exec.Command(step, "-dir", s.dir)))
		if want := "I have come over HTTP, and I have:\ndir\nold\none\ntwo\n"; code != 0 || !strings.HasSuffix(output, want) {
			t.Fatalf("exit code %d:\n%s", code, output)
		}
		if diff := cmp.Diff(blobs(t, s.path("mine")), blobs(t, s.path("pulled"))); diff != "" {
			t.Errorf("what was pulled is not what was pushed:\n%s", diff)
		}
		push := requests(output, "manifest last.\n")
		if n := count(push, "POST /v2/lesson/blobs/uploads/"); n != 3 || push[len(push)-1] != "PUT /v2/lesson/manifests/latest" {
			t.Errorf("the push has %d uploads: %q", n, push)
		}
		if again := requests(output, "has it all.\n"); count(again, "POST /v2/lesson/blobs/uploads/") != 0 || count(again, "PUT /v2/lesson/manifests/again") != 1 {
			t.Errorf("the second push is %q", again)
		}
		if pull := requests(output, "what it names.\n"); count(pull, "GET /v2/lesson/blobs/…") != 3 || !strings.HasSuffix(pull[0], "/v2/lesson/manifests/latest") {
			t.Errorf("the pull is %q", pull)
		}
	})
}

// count tells how often a line is there.
func count(lines []string, line string) int {
	n := 0
	for _, each := range lines {
		if each == line {
			n++
		}
	}
	return n
}

// TestRun looks at the mounts of a command that runs in the pulled image, at its exit code, and at what is left.
func TestRun(t *testing.T) {
	each(t, func(t *testing.T, as func(*exec.Cmd) *exec.Cmd, s stack) {
		r := begin(t, as(exec.Command(step, "-dir", s.dir, "cat")), "cat", false)
		mounts := witness.Mounts(t, r.pid)
		if !slices.ContainsFunc(mounts, func(m witness.Mount) bool { return m.Point == "/" && m.Type == "overlay" }) {
			t.Errorf("the command's mounts are %+v", mounts)
		}
		if code := r.end(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		if _, code := finish(t, as(exec.Command(step, "sh", "-c", "rm /srv/one; exit 3"))); code != 3 {
			t.Errorf("exit code %d, want 3", code)
		}
		if left, err := filepath.Glob(filepath.Join(os.TempDir(), "stave-*")); err != nil || len(left) > 0 {
			t.Errorf("left %v, error %v", left, err)
		}
	})
}

// TestDamaged changes a byte in the registry's copy of each blob in turn. A pull that gets it refuses it by its digest, names nothing, and
// nothing runs.
func TestDamaged(t *testing.T) {
	witness.Need(t, "root", "command:busybox", "filesystem:overlay")
	s := stack{t.TempDir()}
	if output, code := finish(t, exec.Command(step, "-dir", s.dir, "true")); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, output)
	}
	for _, digest := range blobs(t, s.path("mine")) {
		file := find(t, s.path("registry"), digest)
		good, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		bad := slices.Clone(good)
		bad[len(bad)/2] ^= 1
		if err := os.WriteFile(file, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.RemoveAll(s.path("pulled")); err != nil {
			t.Fatal(err)
		}
		output, err := exec.Command(step, "-dir", s.dir, "echo", "I run").CombinedOutput()
		if err == nil || strings.Contains(string(output), "I run\n") || !strings.Contains(string(output), digest) {
			t.Errorf("%s: error %v:\n%s", digest, err, output)
		}
		if index, _ := os.ReadFile(s.path("pulled/index.json")); strings.Contains(string(index), "lesson") {
			t.Errorf("%s: the pulled image has a name: %s", digest, index)
		}
		if err := os.WriteFile(file, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// find finds the file with the bytes of a digest.
func find(t *testing.T, folder, digest string) (found string) {
	t.Helper()
	filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if sum := sha256.Sum256(data); err == nil && hex.EncodeToString(sum[:]) == digest {
			found = name
		}
		return err
	})
	if found == "" {
		t.Fatalf("%s has no file with the digest %s", folder, digest)
	}
	return found
}

// TestServe asks the registry as curl(1) would, and skopeo if that is there.
func TestServe(t *testing.T) {
	witness.Need(t, "command:busybox")
	cmd := exec.Command(step, "-serve", "127.0.0.1:0", "-dir", t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewScanner(out)
	var at string
	for at == "" && lines.Scan() {
		fmt.Sscanf(lines.Text(), "The image is at %s now.", &at)
	}
	go io.Copy(io.Discard, out) // or the registry would wait for a reader of its lines
	host := strings.TrimSuffix(at, "/lesson:latest")
	answer, err := http.Get("http://" + host + "/v2/lesson/manifests/latest")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	manifest, err := io.ReadAll(answer.Body)
	if sum := sha256.Sum256(manifest); err != nil || answer.StatusCode != http.StatusOK || answer.Header.Get("Docker-Content-Digest") != "sha256:"+hex.EncodeToString(sum[:]) {
		t.Errorf("%s %s, error %v: the manifest has the digest %x", answer.Status, answer.Header, err, sum)
	}
	if _, err := exec.LookPath("skopeo"); err == nil {
		if output, err := exec.Command("skopeo", "inspect", "--tls-verify=false", "docker://"+at).CombinedOutput(); err != nil {
			t.Errorf("skopeo: %v: %s", err, output)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	if err := cmd.Process.Signal(unix.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}
