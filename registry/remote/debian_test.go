// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/crypto/bcrypt"

	"stave/internal/witness"
	"stave/registry"
	"stave/registry/credentials"
	"stave/registry/memory"
	"stave/registry/storetest"
)

// debian is a running docker-registry of Debian.
type debian struct {
	host string
	root string // its storage
}

// startDebian starts one on a free port; more are lines of its configuration, below http and at the top.
func startDebian(t *testing.T, http, top string) *debian {
	t.Helper()
	witness.Need(t, "command:docker-registry")
	folder := t.TempDir()
	root := filepath.Join(folder, "storage")
	config := filepath.Join(folder, "config.yml")
	text := fmt.Sprintf("version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: %s\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:0\n  secret: x\n%s%s", root, http, top)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command := exec.Command("docker-registry", "serve", config)
	command.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
	log, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	host := make(chan string, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		listening := regexp.MustCompile(`listening on (127\.0\.0\.1:[0-9]+)`)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if found := listening.FindStringSubmatch(lines.Text()); found != nil {
				host <- found[1]
			}
		}
		close(host)
		io.Copy(io.Discard, log)
	}()
	t.Cleanup(func() {
		command.Process.Kill()
		<-done
		command.Wait()
	})
	found, ok := <-host
	if !ok {
		t.Fatal("docker-registry ends without listening")
	}
	return &debian{host: found, root: root}
}

// data is the file in which the registry keeps a blob.
func (d *debian) data(hex string) string {
	return filepath.Join(d.root, "docker/registry/v2/blobs/sha256", hex[:2], hex, "data")
}

// TestDebianStore runs the tests of all stores.
func TestDebianStore(t *testing.T) {
	server := startDebian(t, "", "")
	n := 0
	storetest.Run(t, storetest.Options{Open: func(t *testing.T) registry.Store {
		n++
		return repository(t, newClient(t), fmt.Sprintf("%s/store%d", server.host, n))
	}})
}

// TestDebian pushes an image, and pulls it by tag and digest; lists; mounts.
func TestDebian(t *testing.T) {
	server := startDebian(t, "", "")
	c := newClient(t)
	r := repository(t, c, server.host)
	source := memory.New()
	layer := random(3 << 20)
	top := storetest.Sample(t, source, "linux/amd64", layer, random(1000))
	for _, tag := range []string{"v2", "latest", "v10"} {
		if _, err := registry.Copy(t.Context(), r, tag, source, top.Digest.String(), registry.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(server.data(describe(layer).Digest.Encoded())); err != nil || !bytes.Equal(got, layer) {
		t.Errorf("the layer in the registry's folder: %d bytes, %v", len(got), err)
	}
	for _, ref := range []string{"v10", top.Digest.String()} {
		copied := memory.New()
		if _, err := registry.Copy(t.Context(), copied, "x", r, ref, registry.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
		storetest.Same(t, copied, top)
	}
	if all, err := collect(r.Tags(t.Context())); err != nil || !slices.Equal(all, []string{"latest", "v10", "v2"}) {
		t.Errorf("tags: %q, %v", all, err)
	}
	other := repository(t, c, server.host+"/other")
	chunked := newClient(t)
	chunked.ChunkSize = 1 << 20
	large := random(5<<20 + 1)
	if err := repository(t, chunked, server.host).Push(t.Context(), describe(large), bytes.NewReader(large)); err != nil {
		t.Errorf("in chunks: %v", err)
	}
	if got, err := os.ReadFile(server.data(describe(large).Digest.Encoded())); err != nil || !bytes.Equal(got, large) {
		t.Errorf("the blob in the registry's folder: %d bytes, %v", len(got), err)
	}
	if mounted, err := other.Mount(t.Context(), describe(layer), r); !mounted || err != nil {
		t.Errorf("mount: %v, %v", mounted, err)
	}
	if there, err := other.Exists(t.Context(), describe(layer)); !there || err != nil {
		t.Errorf("mounted blob: %v, %v", there, err)
	}
	if all, err := collect(c.Catalog(t.Context(), server.host)); err != nil || !slices.Equal(all, []string{"app", "other/app"}) {
		t.Errorf("catalog: %q, %v", all, err)
	}
	if found, err := c.Search(t.Context(), server.host, "oth", 10); err != nil || len(found) != 1 || found[0].Name != "other/app" {
		t.Errorf("search: %v, %v", found, err)
	}
	if _, err := collect(repository(t, c, server.host+"/none").Tags(t.Context())); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("tags of no repository: %v", err)
	}
}

// TestDebianCorrupted flips a byte in the registry's folder.
func TestDebianCorrupted(t *testing.T) {
	server := startDebian(t, "", "")
	r := repository(t, newClient(t), server.host)
	layer := random(1 << 20)
	top := storetest.Sample(t, r, "linux/amd64", layer)
	if err := r.Tag(t.Context(), top, "v1"); err != nil {
		t.Fatal(err)
	}
	for name, d := range map[string]ocispec.Descriptor{"layer": describe(layer), "manifest": top} {
		flip(t, server.data(d.Digest.Encoded()))
		if _, err := fetch(t.Context(), r, d); !errors.Is(err, registry.ErrDigest) || !strings.Contains(err.Error(), d.Digest.String()) {
			t.Errorf("%s: %v", name, err)
		}
	}
	fresh := repository(t, newClient(t), server.host)
	_, err := registry.Copy(t.Context(), memory.New(), "x", fresh, "v1", registry.CopyOptions{})
	if !errors.Is(err, registry.ErrDigest) || !strings.Contains(err.Error(), top.Digest.String()) {
		t.Errorf("copy: %v", err)
	}
}

// flip changes a byte in the middle of a file.
func flip(t *testing.T, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	text[len(text)/2] ^= 1
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDebianPassword has a registry with a file of htpasswd.
func TestDebianPassword(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, []byte("ann:"+string(hash)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	server := startDebian(t, "", "auth:\n  htpasswd:\n    realm: x\n    path: "+file+"\n")
	checkAccess(t, server.host)
}

// checkAccess pushes and pulls as ann, who may, and as others, who may not.
func checkAccess(t *testing.T, host string) {
	t.Helper()
	c := loggedIn(t)
	text := random(100_000)
	r := repository(t, c, host)
	if err := r.Push(t.Context(), describe(text), bytes.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	got, err := fetch(t.Context(), r, describe(text))
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, got, text)
	if other := repository(t, c, host+"/other"); true {
		if mounted, err := other.Mount(t.Context(), describe(text), r); !mounted || err != nil {
			t.Errorf("mount: %v, %v", mounted, err)
		}
	}
	right := credentials.Credential{Username: "ann", Password: "secret"}
	if kept, err := c.Login(t.Context(), host, right); err != nil || kept != right {
		t.Errorf("login: %v, %v", kept, err)
	}
	for name, wrong := range map[string]credentials.Credential{"nobody": {}, "wrong password": {Username: "ann", Password: "wrong"}} {
		stranger := newClient(t)
		stranger.Credentials = user(wrong)
		for action, err := range map[string]error{
			"fetch": func() error { _, err := fetch(t.Context(), repository(t, stranger, host), describe(text)); return err }(),
			"push":  repository(t, stranger, host).Push(t.Context(), describe(text), bytes.NewReader(text)),
			"login": func() error { _, err := stranger.Login(t.Context(), host, wrong); return err }(),
		} {
			if action == "login" && wrong.Empty() {
				continue
			}
			if !errors.Is(err, ErrUnauthorized) || action != "login" && !strings.Contains(err.Error(), "stave login "+host) {
				t.Errorf("%s as %s: %v", action, name, err)
			}
		}
	}
}

// authority is a certificate with its key, which signs tokens and other certificates.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// newAuthority makes a certificate for this machine, signed by itself or by a parent.
func newAuthority(t *testing.T, name string, parent *authority) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	issuer, signer := template, key
	if parent != nil {
		issuer, signer = parent.certificate, parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{certificate, key}
}

// write writes the certificate and the key; "" writes the one or the other not.
func (a *authority) write(t *testing.T, certificate, key string) {
	t.Helper()
	der, err := x509.MarshalECPrivateKey(a.key)
	if err != nil {
		t.Fatal(err)
	}
	for path, block := range map[string]*pem.Block{certificate: {Type: "CERTIFICATE", Bytes: a.certificate.Raw}, key: {Type: "EC PRIVATE KEY", Bytes: der}} {
		if path == "" {
			continue
		}
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// sign makes a token (JWT) for what a request asks for.
func (a *authority) sign(t *testing.T, claims map[string]any) string {
	header := map[string]any{"typ": "JWT", "alg": "ES256", "x5c": []string{base64.StdEncoding.EncodeToString(a.certificate.Raw)}}
	var parts []string
	for _, part := range []any{header, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			t.Error(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(text))
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, ".")))
	r, s, err := ecdsa.Sign(rand.Reader, a.key, sum[:])
	if err != nil {
		t.Error(err)
	}
	return strings.Join(append(parts, base64.RawURLEncoding.EncodeToString(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))), ".")
}

// TestDebianToken has a registry that wants tokens of a service of ours.
func TestDebianToken(t *testing.T) {
	signer := newAuthority(t, "tokens", nil)
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	signer.write(t, bundle, "")
	service := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if name, password, _ := r.BasicAuth(); name != "ann" || password != "secret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		access := []map[string]any{}
		for _, scope := range r.URL.Query()["scope"] {
			if part := strings.Split(scope, ":"); len(part) == 3 {
				access = append(access, map[string]any{"type": part[0], "name": part[1], "actions": strings.Split(part[2], ",")})
			}
		}
		now := time.Now()
		json.NewEncoder(w).Encode(map[string]any{"token": signer.sign(t, map[string]any{
			"iss": "issuer", "sub": "ann", "aud": "service", "jti": fmt.Sprint(now.UnixNano()), "access": access,
			"iat": now.Unix(), "nbf": now.Add(-time.Minute).Unix(), "exp": now.Add(time.Hour).Unix(),
		})})
	})
	server := startDebian(t, "", "auth:\n  token:\n    realm: "+service.URL+"/token\n    service: service\n    issuer: issuer\n    rootcertbundle: "+bundle+"\n")
	checkAccess(t, server.host)
	if n := service.count("GET /token"); n == 0 {
		t.Error("no token was asked for")
	}
}

// TestDebianTLS has a registry with a certificate of an authority of ours, which wants one from its clients as well.
func TestDebianTLS(t *testing.T) {
	folder := t.TempDir()
	file := func(name string) string { return filepath.Join(folder, name) }
	ca := newAuthority(t, "authority", nil)
	ca.write(t, file("ca.pem"), "")
	newAuthority(t, "server", ca).write(t, file("server.pem"), file("server.key"))
	server := startDebian(t, fmt.Sprintf("  tls:\n    certificate: %s\n    key: %s\n    clientcas:\n      - %s\n", file("server.pem"), file("server.key"), file("ca.pem")), "")
	text := random(100_000)
	certs := t.TempDir()
	own := filepath.Join(certs, server.host)
	if err := os.Mkdir(own, 0o700); err != nil {
		t.Fatal(err)
	}
	push := func(change func(*Client)) error {
		c := newClient(t)
		c.CertDir = certs
		if change != nil {
			change(c)
		}
		return repository(t, c, server.host).Push(t.Context(), describe(text), bytes.NewReader(text))
	}
	if err := push(nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("an unknown authority: %v", err)
	}
	ca.write(t, filepath.Join(own, "ca.crt"), "")
	if err := push(nil); err == nil || strings.Contains(err.Error(), "http://") { // what is said depends on whether the alert or the end comes first
		t.Errorf("no certificate of the client: %v", err)
	}
	client := newAuthority(t, "client", ca)
	client.write(t, filepath.Join(own, "client.cert"), "")
	if err := push(nil); err == nil || !strings.Contains(err.Error(), "has no key: put it into") {
		t.Errorf("no key: %v", err)
	}
	client.write(t, "", filepath.Join(own, "client.key"))
	if err := push(nil); err != nil {
		t.Errorf("all there: %v", err)
	}
	if err := os.Remove(filepath.Join(own, "ca.crt")); err != nil {
		t.Fatal(err)
	}
	if err := push(func(c *Client) { c.CAFile = file("ca.pem") }); err != nil {
		t.Errorf("the authority in a file of its own: %v", err)
	}
	if err := push(func(c *Client) { c.CAFile = file("server.key") }); err == nil || !strings.Contains(err.Error(), "no certificate in PEM") {
		t.Errorf("no authority: %v", err)
	}
}
