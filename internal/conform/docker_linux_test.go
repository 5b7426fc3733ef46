// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"stave/internal/witness"
)

// dockerPlay is what the docker client does with a registry, and with the real daemon of Docker in a mount namespace of its own: it
// logs in, pushes, forgets and pulls, by tag and by digest. The arguments are a folder, the registry's HOST:PORT and an image's archive.
const dockerPlay = `set -e
dir=$1 registry=$2 archive=$3
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /etc/docker
mkdir -p /run/docker /etc/docker/certs.d/$registry
cp "$dir/cert.pem" /etc/docker/certs.d/$registry/ca.crt
export DOCKER_HOST=unix:///run/docker.sock DOCKER_CONFIG=$dir/config
echo {} >/etc/docker/daemon.json
dockerd --data-root "$dir/data" --exec-root "$dir/exec" --pidfile "$dir/pid" --bridge none --iptables=false --ip6tables=false \
	--ip-forward=false --ip-masq=false --storage-driver vfs >"$dir/log" 2>&1 &
daemon=$!
n=0
until docker version >/dev/null 2>&1; do
	n=$((n + 1))
	if [ $n -gt 600 ] || ! kill -0 $daemon; then cat "$dir/log"; exit 1; fi
	sleep 0.1
done
docker load -q -i "$archive" >/dev/null
image=$registry/team/box:1
docker tag localhost/busybox:1 $image
if docker push -q $image >/dev/null 2>&1; then echo "a push without a password"; exit 1; fi
if echo wrong | docker login -u tester --password-stdin $registry >/dev/null 2>&1; then echo "a wrong password"; exit 1; fi
echo secret | docker login -u tester --password-stdin $registry >/dev/null 2>&1
docker push -q $image >/dev/null
id=$(docker image inspect -f '{{.Id}}' localhost/busybox:1)
byDigest=$(docker image inspect -f '{{index .RepoDigests 0}}' $image)
docker rmi localhost/busybox:1 $image >/dev/null
docker pull -q $image >/dev/null
[ "$(docker image inspect -f '{{.Id}}' $image)" = "$id" ]
docker rmi $image >/dev/null
docker pull -q $byDigest >/dev/null
[ "$(docker image inspect -f '{{.Id}}' $byDigest)" = "$id" ]
docker manifest inspect $image | grep -c '"layers"'
docker logout $registry >/dev/null
docker rmi $byDigest >/dev/null
if docker pull -q $image >/dev/null 2>&1; then echo "a pull without a password"; exit 1; fi
kill $daemon
wait $daemon || true
echo "$id"
`

// TestDockerClient lets the docker client, with Docker's own daemon, push to stave registry serve and pull from it, with TLS and a
// password, by both ways to ask for that. stave pulls the same image, and its configuration has the same digest.
func TestDockerClient(t *testing.T) {
	program := filepath.Join(built(t), "stave")
	witness.Need(t, "command:docker", "command:dockerd")
	image := archive(t)
	for _, way := range []string{"basic", "token"} {
		t.Run(way, func(t *testing.T) {
			dir := t.TempDir()
			writeCertificate(t, dir)
			hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
			if err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "htpasswd"), "tester:"+string(hash)+"\n", 0o600)
			url := serveRegistry(t, program, []string{
				"--tls-cert", filepath.Join(dir, "cert.pem"), "--tls-key", filepath.Join(dir, "key.pem"), "--htpasswd", filepath.Join(dir, "htpasswd"), "--auth", way,
			})
			registry := strings.Replace(strings.TrimPrefix(url, "https://"), "127.0.0.1", "localhost", 1)
			limit, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			c := exec.CommandContext(limit, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", dockerPlay, "sh", dir, registry, image)
			out, err := c.CombinedOutput()
			lines := strings.Fields(string(out))
			if err != nil || len(lines) < 2 || lines[0] != "1" {
				t.Fatalf("docker: %v\n%s", err, out)
			}
			pull := exec.CommandContext(limit, program, "pull", "-q", "--unpack=false", registry+"/team/box:1")
			pull.Env = append(os.Environ(), "STAVE_STATE="+filepath.Join(dir, "state"), "SSL_CERT_FILE="+filepath.Join(dir, "cert.pem"), "DOCKER_CONFIG="+filepath.Join(dir, "login"))
			write(t, filepath.Join(dir, "login/config.json"), `{"auths":{"`+registry+`":{"auth":"dGVzdGVyOnNlY3JldA=="}}}`, 0o600)
			if out, err := pull.CombinedOutput(); err != nil {
				t.Fatalf("stave pull: %v\n%s", err, out)
			}
			blob := strings.Replace(lines[1], ":", "/", 1)
			if _, err := os.Stat(filepath.Join(dir, "state/images/blobs", blob)); err != nil {
				t.Errorf("the configuration that docker has is not among the blobs that stave has: %v", err)
			}
		})
	}
}

// writeCertificate makes a certificate for localhost, signed by itself, and its key.
func writeCertificate(t *testing.T, dir string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "stave test"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})), 0o644)
	write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})), 0o600)
}
