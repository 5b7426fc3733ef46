// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"bufio"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// distribution is a run of the suite: the options of the registry, and the environment of the suite.
type distribution struct {
	options []string
	env     map[string]string
	// prepare pushes what a run without pushes looks for, and tells the suite.
	prepare func(t *testing.T, url string) map[string]string
}

// distributions are runs of which each does what another leaves out: the suite skips some of its cases as the registry's
// answers or the environment have it, and two of them exclude each other.
func distributions(t *testing.T) map[string]distribution {
	all := map[string]string{
		"OCI_TEST_PULL": "1", "OCI_TEST_PUSH": "1", "OCI_TEST_CONTENT_DISCOVERY": "1", "OCI_TEST_CONTENT_MANAGEMENT": "1",
		"OCI_AUTOMATIC_CROSSMOUNT": "0",
	}
	with := func(more map[string]string) map[string]string {
		env := maps.Clone(all)
		maps.Copy(env, more)
		return env
	}
	passwords := filepath.Join(t.TempDir(), "htpasswd")
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	write(t, passwords, "tester:"+string(hash)+"\n", 0o600)
	login := map[string]string{"OCI_USERNAME": "tester", "OCI_PASSWORD": "secret"}
	return map[string]distribution{
		"plain":          {env: all},
		"manifest first": {env: with(map[string]string{"OCI_DELETE_MANIFEST_BEFORE_BLOBS": "1"})},
		"mount any":      {options: []string{"--mount-any"}, env: with(map[string]string{"OCI_AUTOMATIC_CROSSMOUNT": "1"})},
		"basic":          {options: []string{"--htpasswd", passwords}, env: with(login)},
		"token":          {options: []string{"--htpasswd", passwords, "--auth", "token"}, env: with(login)},
		"pull alone":     {env: map[string]string{"OCI_TEST_PULL": "1", "OCI_TEST_CONTENT_DISCOVERY": "1"}, prepare: pushForSuite},
	}
}

// TestDistribution runs the conformance suite of the OCI distribution specification against stave registry serve. No case may
// fail in any run, and each has to pass in one.
func TestDistribution(t *testing.T) {
	folder := built(t)
	passed, skipped := map[string]bool{}, map[string]bool{}
	for name, d := range distributions(t) {
		t.Run(name, func(t *testing.T) {
			for _, c := range d.run(t, folder) {
				switch {
				case c.Failure != nil:
					t.Errorf("%s:\n%s", c.Name, *c.Failure)
				case c.Skipped != nil:
					skipped[c.Name] = true
				default:
					passed[c.Name] = true
				}
			}
		})
	}
	if len(passed) < 68 { // as many as the suite has
		t.Errorf("%d cases have passed: has the suite run?", len(passed))
	}
	for name := range skipped {
		if !passed[name] {
			t.Errorf("skipped in every run: %s", name)
		}
	}
	t.Logf("conform distribution: %d cases pass", len(passed))
}

// suiteCase is a case in the suite's report.
type suiteCase struct {
	Name    string    `xml:"name,attr"`
	Failure *string   `xml:"failure"`
	Skipped *struct{} `xml:"skipped"`
}

// run starts a registry, runs the suite against it, and returns what the suite reports.
func (d distribution) run(t *testing.T, folder string) []suiteCase {
	url := serveRegistry(t, filepath.Join(folder, "stave"), d.options)
	env := append(os.Environ(), "OCI_ROOT_URL="+url, "OCI_NAMESPACE=stave/suite", "OCI_CROSSMOUNT_NAMESPACE=stave/other")
	settings := maps.Clone(d.env)
	if d.prepare != nil {
		maps.Copy(settings, d.prepare(t, url))
	}
	for name, value := range settings {
		env = append(env, name+"="+value)
	}
	suite := exec.CommandContext(t.Context(), filepath.Join(folder, "distribution"), "-test.timeout", patience.String())
	suite.Dir, suite.Env = t.TempDir(), env
	output, failed := suite.CombinedOutput()
	text, err := os.ReadFile(filepath.Join(suite.Dir, "junit.xml"))
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	var report struct {
		Cases []suiteCase `xml:"testcase"`
	}
	if err := xml.Unmarshal(text, &report); err != nil {
		t.Fatal(err)
	}
	if failed != nil {
		t.Errorf("the suite fails: %v", failed)
	}
	return report.Cases
}

// serveRegistry starts stave registry serve with a new folder and returns its address. At the end of the test the registry is told to
// stop, and has to without an error.
func serveRegistry(t *testing.T, program string, options []string) string {
	t.Helper()
	c := exec.Command(program, append([]string{"registry", "serve", "--addr", "127.0.0.1:0", "--root", t.TempDir()}, options...)...)
	c.Stderr = os.Stderr
	output, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("%s: %v", program, err)
		}
	})
	line, err := bufio.NewReader(output).ReadString('\n')
	_, url, found := strings.Cut(strings.TrimSpace(line), " on ")
	if err != nil || !found {
		t.Fatalf("the registry says %q: %v", line, err)
	}
	return url
}

// pushForSuite pushes an image with four tags.
func pushForSuite(t *testing.T, url string) map[string]string {
	digest := func(text string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(text))) }
	config := "{}"
	manifest := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"application/vnd.oci.image.config.v1+json","digest":%q,"size":2},"layers":[]}`, digest(config))
	send := func(method, path, mediaType, body string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, url+"/v2/stave/suite/"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", mediaType)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		if text, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusCreated {
			t.Fatalf("%s %s: %s %s %v", method, path, answer.Status, text, err)
		}
	}
	send("POST", "blobs/uploads/?digest="+digest(config), "application/octet-stream", config)
	tags := []string{"one", "two", "three", "four"}
	for _, tag := range tags {
		send("PUT", "manifests/"+tag, "application/vnd.oci.image.manifest.v1+json", manifest)
	}
	slices.Sort(tags)
	return map[string]string{
		"OCI_TAG_NAME": "one", "OCI_TAG_LIST": strings.Join(tags, ","), "OCI_MANIFEST_DIGEST": digest(manifest), "OCI_BLOB_DIGEST": digest(config),
	}
}
