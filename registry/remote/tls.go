// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The sizes of the transport: large buffers for large blobs, and little room for headers, which are all kept in memory.
const (
	bufferSize = 256 << 10
	maxHeader  = 256 << 10
	idlePeers  = 16
)

// transport returns what sends requests to a host.
func (c *Client) transport(host string) (http.RoundTripper, error) {
	if c.Transport != nil {
		return c.Transport, nil
	}
	folder := c.certificates(host)
	key := host
	if folder == "" {
		key = ""
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if t, ok := c.transports[key]; ok {
		return t, nil
	}
	config, err := tlsConfig(c.CAFile, folder)
	if err != nil {
		return nil, err
	}
	return remember(&c.transports, key, func() http.RoundTripper { return newTransport(config) }), nil
}

// CloseIdle closes the connections that are not in use. The client may go on to be used.
func (c *Client) CloseIdle() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, t := range c.transports {
		if closer, ok := t.(interface{ CloseIdleConnections() }); ok {
			closer.CloseIdleConnections()
		}
	}
}

// certificates is the folder with certificates for a host, or nothing if there is none. A host comes from a redirect, too:
// it must be the name of a folder and no path.
func (c *Client) certificates(host string) string {
	if host == "" || host == "." || host == ".." || strings.ContainsAny(host, "/\x00") {
		return ""
	}
	folder := filepath.Join(orElse(c.CertDir, "/etc/docker/certs.d"), host)
	if info, err := os.Stat(folder); err != nil || !info.IsDir() {
		return ""
	}
	return folder
}

// newTransport makes a transport that hands out bodies as they come over the wire.
func newTransport(config *tls.Config) *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:        config,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    idlePeers,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxHeader,
		ReadBufferSize:         bufferSize,
		WriteBufferSize:        bufferSize,
	}
}

// tlsConfig trusts the system's authorities, those of a file and those of a folder, and has the pairs of certificate and
// key of the folder.
func tlsConfig(file, folder string) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	var authorities []string
	if file != "" {
		authorities = append(authorities, file)
	}
	if folder != "" {
		found, err := filepath.Glob(filepath.Join(escape(folder), "*.crt"))
		if err != nil {
			return nil, err
		}
		authorities = append(authorities, found...)
		if config.Certificates, err = pairs(folder); err != nil {
			return nil, err
		}
	}
	if len(authorities) == 0 {
		return config, nil
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // a machine without any
	}
	for _, name := range authorities {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("read %s: no certificate in PEM", name)
		}
	}
	config.RootCAs = pool
	return config, nil
}

// pairs reads the certificates of a folder that identify the client, each with its key.
func pairs(folder string) ([]tls.Certificate, error) {
	names, err := filepath.Glob(filepath.Join(escape(folder), "*.cert"))
	if err != nil {
		return nil, err
	}
	var all []tls.Certificate
	for _, name := range names {
		key := strings.TrimSuffix(name, ".cert") + ".key"
		if _, err := os.Stat(key); errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("certificate %s has no key: put it into %s (an authority's certificate ends with .crt)", name, key)
		}
		pair, err := tls.LoadX509KeyPair(name, key)
		if err != nil {
			return nil, fmt.Errorf("read %s and its key: %w", name, err)
		}
		all = append(all, pair)
	}
	return all, nil
}

// escape keeps a folder's name, such as [::1]:5000, from being read as a pattern.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `[`, `\[`, `*`, `\*`, `?`, `\?`).Replace(path)
}
