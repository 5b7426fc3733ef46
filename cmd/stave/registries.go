// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/distribution/reference"
	"github.com/urfave/cli/v2"

	"stave/registry"
	"stave/registry/credentials"
	"stave/registry/remote"
)

// registriesHelp tells in help texts how registries are reached.
const registriesHelp = "stave login keeps passwords where docker does. Two variables say how registries are reached: STAVE_INSECURE_REGISTRIES lists\n" +
	"hosts that are spoken to without TLS (this machine always may be), and STAVE_REGISTRY_MIRRORS lists mirrors to be tried first,\n" +
	"as docker.io=mirror.example:5000. Both are lists with commas. Certificates are in /etc/docker/certs.d/HOST:PORT."

// registryClient reaches registries as the user's files and the environment say.
func registryClient() *remote.Client {
	return &remote.Client{
		Credentials: credentials.Default(os.Getenv).Get,
		PlainHTTP:   listOf(os.Getenv("STAVE_INSECURE_REGISTRIES")),
		Mirrors:     mirrors(os.Getenv("STAVE_REGISTRY_MIRRORS")),
		UserAgent:   "stave/" + version,
		Notice:      func(text string) { fmt.Fprintln(os.Stderr, "stave:", text) },
	}
}

// repository opens repositories of registries.
func repository(*cli.Context) func(named reference.Named) (registry.Store, error) {
	return repositoryOf(registryClient())
}

// listOf parts a list with commas.
func listOf(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// mirrors reads REGISTRY=MIRROR pairs; what is no pair is a mirror of Docker Hub, of which docker knows no others.
func mirrors(text string) map[string][]string {
	list := map[string][]string{}
	for _, pair := range listOf(text) {
		host, mirror, found := strings.Cut(pair, "=")
		if !found {
			host, mirror = "docker.io", pair
		}
		list[host] = append(list[host], mirror)
	}
	return list
}
