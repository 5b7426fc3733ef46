// SPDX-License-Identifier: Apache-2.0

package credentials

import (
	"maps"
	"slices"
	"strings"
)

// The names of Docker Hub: the one in references, and the one under which Docker has kept its password ever since.
const (
	hub    = "docker.io"
	hubKey = "https://index.docker.io/v1/"
)

// keyOf is the key under which config.json and credential helpers keep a registry.
func keyOf(host string) string {
	if host == hub {
		return hubKey
	}
	return host
}

// nameOf is the registry, and maybe the path in it, that a key of config.json means. Old files have addresses as keys:
// "https://registry.example/v1/".
func nameOf(key string) string {
	name := key
	for _, scheme := range []string{"https://", "http://"} {
		name = strings.TrimPrefix(name, scheme)
	}
	host, path, _ := strings.Cut(name, "/")
	switch host {
	case "index.docker.io", "registry-1.docker.io", hub:
		host = hub
	}
	switch path = strings.Trim(path, "/"); path {
	case "", "v1", "v2":
		return host
	}
	return host + "/" + path
}

// lookUp finds the key of auths or credHelpers that fits a name best: that of the name itself, or of the nearest folder
// above it, down to the host.
func lookUp[V any](table map[string]V, name string) (key string, found bool) {
	for name != "" {
		if _, ok := table[keyOf(name)]; ok {
			return keyOf(name), true
		}
		for _, key := range slices.Sorted(maps.Keys(table)) {
			if nameOf(key) == name {
				return key, true
			}
		}
		name = name[:max(strings.LastIndexByte(name, '/'), 0)]
	}
	return "", false
}

// hostOf is the host of a name.
func hostOf(name string) string {
	host, _, _ := strings.Cut(name, "/")
	return host
}
