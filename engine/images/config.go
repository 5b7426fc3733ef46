// SPDX-License-Identifier: Apache-2.0

package images

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"stave/registry"
)

// Config is an image's configuration, with docker's fields beside those of OCI.
type Config struct {
	ocispec.Image
	// Config is how containers of the image run; it hides the field of [ocispec.Image], which has fewer fields.
	Config Settings `json:"config"`
	// Comment is what docker import and docker commit -m say of versions that have it outside the history.
	Comment string `json:"comment,omitempty"`
	// DockerVersion is what made the image, where that says so.
	DockerVersion string `json:"docker_version,omitempty"`
}

// Settings are how containers of an image run.
type Settings struct {
	ocispec.ImageConfig
	// Healthcheck, OnBuild and Shell are docker's own.
	Healthcheck *Healthcheck `json:"Healthcheck,omitempty"`
	OnBuild     []string     `json:"OnBuild,omitempty"`
	Shell       []string     `json:"Shell,omitempty"`
}

// Healthcheck is a command that tells whether a container works.
type Healthcheck struct {
	// Test is the command, behind the word CMD or CMD-SHELL; NONE alone switches off what the base image has.
	Test        []string      `json:"Test,omitempty"`
	Interval    time.Duration `json:"Interval,omitempty"`
	Timeout     time.Duration `json:"Timeout,omitempty"`
	StartPeriod time.Duration `json:"StartPeriod,omitempty"`
	Retries     int           `json:"Retries,omitempty"`
}

// mostLayers is how many layers an image may have. No file system of the kernel stacks more than 500; a manifest of the greatest
// size that is read could name some 20,000.
const mostLayers = 1000

// parseConfig reads the configuration of a manifest with so many layers, and holds it against that.
func parseConfig(data []byte, layers int) (*Config, error) {
	var c Config
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("the image's configuration: %w", err)
	}
	if layers > mostLayers {
		return nil, fmt.Errorf("the image has %d layers; at most %d are taken", layers, mostLayers)
	}
	if len(c.RootFS.DiffIDs) != layers {
		return nil, fmt.Errorf("the image's configuration names %d layers, its manifest has %d", len(c.RootFS.DiffIDs), layers)
	}
	for _, id := range c.RootFS.DiffIDs {
		if err := registry.CheckDescriptor(ocispec.Descriptor{Digest: id}); err != nil || id.Algorithm() != digest.SHA256 {
			return nil, fmt.Errorf("the image's configuration names the layer %q: only sha256 digests are taken", id)
		}
	}
	return &c, nil
}

// made is when the image was made; the zero time where it does not say so.
func (c *Config) made() time.Time {
	if c.Created == nil {
		return time.Time{}
	}
	return *c.Created
}
