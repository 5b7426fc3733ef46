// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Status is where a container is in its life.
type Status string

// The stages of a container's life. One that is found Creating with nobody at work on it was never finished.
const (
	Creating Status = "creating"
	Created  Status = "created"
	Running  Status = "running"
	Exited   Status = "exited"
)

// Record is what container.json keeps.
type Record struct {
	// ID has 64 hexadecimal digits; Name is the container's own among all.
	ID   string `json:"id"`
	Name string `json:"name"`
	// Image is the name that the container was made from, ImageID the digest of that image's configuration.
	Image   string        `json:"image"`
	ImageID digest.Digest `json:"imageID"`
	// Driver is the name of the driver of its root file system, Layers the chain IDs of its layers, the lowest first.
	Driver string          `json:"driver"`
	Layers []digest.Digest `json:"layers"`
	// Config is the image's configuration with what the command line changed.
	Config ocispec.ImageConfig `json:"config"`
	// Platform is the image's.
	Platform ocispec.Platform `json:"platform"`
	// Command is what runs.
	Command []string `json:"command"`
	// ReadOnly is a root file system without a writable layer; AutoRemove takes the container away when it ends.
	ReadOnly   bool `json:"readOnly,omitempty"`
	AutoRemove bool `json:"autoRemove,omitempty"`

	Status     Status    `json:"status"`
	CreatedAt  time.Time `json:"createdAt"`
	StartedAt  time.Time `json:"startedAt,omitzero"`
	FinishedAt time.Time `json:"finishedAt,omitzero"`
	// ExitCode is that of a container that has exited; Error says why it is not the command's own.
	ExitCode int    `json:"exitCode"`
	Error    string `json:"error,omitempty"`
}

// recordName is the name of the record in a container's folder.
const recordName = "container.json"

// errTemporary says that a folder has no record.
var errTemporary = errors.New("no container.json")

// readRecord reads the record of a folder.
func readRecord(dir string) (r Record, err error) {
	name := filepath.Join(dir, recordName)
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return r, errTemporary
	}
	if err != nil {
		return r, err
	}
	id := filepath.Base(dir)
	if err := json.Unmarshal(data, &r); err != nil {
		return r, fmt.Errorf("%s: %w; stave rm -f %s removes what is left of the container", name, err, id)
	}
	if r.ID != id {
		return r, fmt.Errorf("%s: it is the record of another container, %q; stave rm -f %s removes what is here", name, r.ID, id)
	}
	return r, nil
}

// write keeps the record: beside the old one, then in its place, so that a reader sees one of them whole. It lasts beyond a crash of the
// machine, except of a container that is being made or removes itself: it is gone then anyway.
func (r Record) write(dir string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	temporary := filepath.Join(dir, "."+recordName)
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	lasting := !r.AutoRemove && r.Status != Creating
	_, err = f.Write(append(data, '\n'))
	if err == nil && lasting {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("keep the container's record: %w", err)
	}
	err = os.Rename(temporary, filepath.Join(dir, recordName))
	if err != nil || !lasting {
		return err
	}
	return syncFolder(dir)
}

// syncFolder makes a rename in a folder durable (fsync(2)).
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
