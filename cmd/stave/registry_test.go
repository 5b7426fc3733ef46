// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"stave/internal/witness"
)

// served is a registry that runs as a process of its own.
type served struct {
	t       *testing.T
	url     string
	host    string // HOST:PORT
	process *exec.Cmd
	output  *bufio.Reader
	errors  bytes.Buffer
}

// serveRegistry starts stave registry serve on a free port.
func serveRegistry(t *testing.T, options ...string) *served {
	t.Helper()
	s := &served{t: t, process: exec.Command(stave, append([]string{"registry", "serve", "--addr", "127.0.0.1:0"}, options...)...)}
	s.process.Stderr = &s.errors
	output, err := s.process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.process.ProcessState == nil {
			s.stop(syscall.SIGKILL)
		}
	})
	s.output = bufio.NewReader(output)
	line := s.line()
	_, s.url, _ = strings.Cut(line, " on ")
	_, s.host, _ = strings.Cut(s.url, "://")
	if s.host == "" {
		t.Fatalf("it says %q", line)
	}
	return s
}

// line is the next line that the registry prints.
func (s *served) line() string {
	s.t.Helper()
	line, err := s.output.ReadString('\n')
	if err != nil {
		s.t.Fatalf("the registry ends: %v\n%s", err, s.errors.String())
	}
	return strings.TrimSpace(line)
}

// stop sends a signal and returns the exit code: -1 for a registry that dies of it.
func (s *served) stop(signal syscall.Signal) int {
	s.t.Helper()
	if err := s.process.Process.Signal(signal); err != nil {
		s.t.Error(err)
	}
	_ = s.process.Wait() // the code says it
	return s.process.ProcessState.ExitCode()
}

// certify writes a certificate for localhost and some addresses, signed by itself, and its key.
func certify(t *testing.T, dir string, addresses ...string) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	for _, a := range append(addresses, "127.0.0.1") {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(a))
	}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, "ca.crt"), filepath.Join(dir, "key.pem")
	keep(t, certificate, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signed})))
	keep(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})))
	return certificate, key
}

// passwords writes an htpasswd file where bob has the password secret.
func passwords(t *testing.T, dir string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "htpasswd")
	keep(t, file, "bob:"+string(hash)+"\n")
	return file
}

// keep writes a file.
func keep(t *testing.T, file, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestRegistryMistakes gives options that can't be: each error names the option and what is wrong.
func TestRegistryMistakes(t *testing.T) {
	dir := t.TempDir()
	certificate, _ := certify(t, dir)
	_, otherKey := certify(t, filepath.Join(dir, "other"))
	busy := serveRegistry(t, "--root", filepath.Join(dir, "busy"))
	keep(t, filepath.Join(dir, "weak"), "bob:{SHA}xxx\n")
	root := filepath.Join(dir, "root")
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"address in use":     {[]string{"--addr", busy.host}, busy.host + " is in use by another program"},
		"folder in use":      {[]string{"--root", filepath.Join(dir, "busy"), "--addr", "127.0.0.1:0"}, "another registry serves this folder"},
		"no address":         {[]string{"--addr", "5000"}, "--addr 5000 is not of the form HOST:PORT"},
		"plain":              {[]string{"--addr", ":0"}, "give --tls-cert and --tls-key, or --insecure"},
		"plain on all":       {[]string{"--addr", "0.0.0.0:0"}, "give --tls-cert and --tls-key, or --insecure"},
		"certificate alone":  {[]string{"--tls-cert", certificate}, "--tls-cert and --tls-key belong together"},
		"other key":          {[]string{"--tls-cert", certificate, "--tls-key", otherKey}, "does not match"},
		"no certificate":     {[]string{"--tls-cert", dir + "/none", "--tls-key", otherKey}, "/none: no such file"},
		"no passwords":       {[]string{"--htpasswd", dir + "/none"}, "--htpasswd: stat " + dir + "/none: no such file"},
		"weak passwords":     {[]string{"--htpasswd", dir + "/weak"}, "use htpasswd -B"},
		"auth alone":         {[]string{"--auth", "token"}, "--auth needs --htpasswd"},
		"other auth":         {[]string{"--auth", "ldap"}, `--auth is basic or token, not "ldap"`},
		"grace":              {[]string{"--gc-grace", "0"}, "--gc-grace is above 0"},
		"read-only, no root": {[]string{"--read-only", "--addr", "127.0.0.1:0"}, root + ": no such file"},
		"arguments":          {[]string{root}, "takes no arguments"},
		"unknown option":     {[]string{"--none"}, "there is no option --none; stave registry serve --help"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := exec.Command(stave, append([]string{"registry", "serve", "--root", root}, c.args...)...).CombinedOutput()
			if err == nil || !strings.HasPrefix(string(out), "stave: ") || !strings.Contains(string(out), c.says) || strings.Count(string(out), "\n") != 1 {
				t.Errorf("%v: %q, want %q", err, out, c.says)
			}
		})
	}
	if out, err := exec.Command(stave, "registry", "sevre").CombinedOutput(); err == nil || !strings.Contains(string(out), `unknown command "sevre"`) {
		t.Errorf("%v: %s", err, out)
	}
}

// TestRegistryEnds pushes half a layer, ends the registry by a signal in the middle of it, starts it again and pushes the rest.
func TestRegistryEnds(t *testing.T) {
	dir := t.TempDir()
	s := serveRegistry(t, "--root", dir, "--log")
	answer, err := http.Post(s.url+"/v2/a/blobs/uploads/", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	at := answer.Header.Get("Location")
	reader, writer := io.Pipe()
	answered := make(chan *http.Response, 1)
	go func() {
		request, _ := http.NewRequest("PATCH", s.url+at, reader) // both are right
		answer, _ := http.DefaultTransport.RoundTrip(request)
		answered <- answer
	}()
	if _, err := io.WriteString(writer, "first"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "a/_uploads", filepath.Base(at))
	witness.Until(t, "the first bytes are there", func() bool {
		info, err := os.Stat(file)
		return err == nil && info.Size() == 5
	})
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	witness.Until(t, "no new connection is taken", func() bool {
		c, err := net.Dial("tcp", s.host)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	if _, err := io.WriteString(writer, "second"); err != nil { // what is under way goes on
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if got := <-answered; got == nil || got.StatusCode != http.StatusAccepted || got.Header.Get("Range") != "0-10" {
		t.Errorf("the request under way: %v", got)
	}
	if err := s.process.Wait(); err != nil {
		t.Errorf("the registry ends with %v\n%s", err, s.errors.String())
	}
	if log := s.errors.String(); !strings.Contains(log, `"PATCH `+at+` HTTP/1.1" 202 0 `) {
		t.Errorf("the log:\n%s", log)
	}
	s = serveRegistry(t, "--root", dir)
	again, err := http.Get(s.url + at)
	if err != nil {
		t.Fatal(err)
	}
	again.Body.Close()
	if again.StatusCode != http.StatusNoContent || again.Header.Get("Range") != "0-10" {
		t.Errorf("after the restart: %v", again)
	}
	if code := s.stop(syscall.SIGINT); code != 0 {
		t.Errorf("SIGINT: exit code %d\n%s", code, s.errors.String())
	}
}

// TestRegistryCollects asks for a collection by SIGUSR1.
func TestRegistryCollects(t *testing.T) {
	dir := t.TempDir()
	s := serveRegistry(t, "--root", dir, "--gc-interval", "0", "--gc-grace", "1ns")
	const none = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	answer, err := http.Post(s.url+"/v2/a/blobs/uploads/?digest="+none, "", nil)
	if err != nil || answer.StatusCode != http.StatusCreated {
		t.Fatal(answer, err)
	}
	answer.Body.Close()
	if err := s.process.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if line := s.line(); line != "collected 1 blobs, 0 uploads and 0 manifests, 0 bytes" {
		t.Errorf("it says %q", line)
	}
	if _, err := os.Stat(filepath.Join(dir, "a/blobs/sha256", none[7:])); !os.IsNotExist(err) {
		t.Errorf("the blob: %v", err)
	}
}
