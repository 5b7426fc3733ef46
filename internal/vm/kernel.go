// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// distribution is a kernel package of a distribution, unpacked.
type distribution struct {
	image   string // vmlinux, or the compressed bzImage
	modules string // lib/modules/VERSION
}

// findKernel looks for the kernel and its modules in the folder that the packages were unpacked into.
func findKernel(folder string) (distribution, error) {
	image := lastMatch(folder, "vmlinux", "boot/vmlinuz-*", "usr/lib/modules/*/vmlinuz")
	modules := lastMatch(folder, "lib/modules/*", "usr/lib/modules/*")
	if image == "" || modules == "" {
		return distribution{}, fmt.Errorf("no kernel and modules in %s: make build/vm/kernel/vmlinux gets them", folder)
	}
	return distribution{image, modules}, nil
}

// lastMatch is the last file that matches the first pattern that any matches.
func lastMatch(folder string, patterns ...string) string {
	for _, pattern := range patterns {
		if names, _ := filepath.Glob(filepath.Join(folder, pattern)); len(names) > 0 {
			return names[len(names)-1]
		}
	}
	return ""
}

// unpackKernel writes folder/vmlinux from the bzImage in folder/boot: done once here, it need not be done at each boot
// by an emulated processor.
func unpackKernel(folder string) error {
	k, err := findKernel(folder)
	if err != nil {
		return err
	}
	image, err := os.ReadFile(k.image)
	if err != nil {
		return err
	}
	packed, err := payload(image)
	if err != nil {
		return fmt.Errorf("%s: %w", k.image, err)
	}
	unpacked, err := decompress(packed)
	if err != nil {
		return fmt.Errorf("%s: %w", k.image, err)
	}
	name := filepath.Join(folder, "vmlinux")
	if err := os.WriteFile(name+".new", unpacked, 0o644); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// The fields of a bzImage's setup header that say where the compressed kernel is, from
// Documentation/arch/x86/boot.rst: setup_sects, payload_offset and payload_length.
const (
	setupSectors  = 0x1f1
	payloadOffset = 0x248
	payloadLength = 0x24c
	setupEnd      = 0x250
)

// payload is the compressed kernel in a bzImage.
func payload(image []byte) ([]byte, error) {
	if len(image) < setupEnd {
		return nil, errors.New("too short for a bzImage")
	}
	start := (int(image[setupSectors])+1)*512 + int(binary.LittleEndian.Uint32(image[payloadOffset:]))
	end := start + int(binary.LittleEndian.Uint32(image[payloadLength:]))
	if start >= end || end > len(image) {
		return nil, fmt.Errorf("payload from %d to %d of %d bytes", start, end, len(image))
	}
	return image[start:end], nil
}

// decompressor is the program that unpacks data that starts like this, or nothing.
func decompressor(data []byte) string {
	for program, magic := range map[string]string{"zstd": "\x28\xb5\x2f\xfd", "xz": "\xfd7zXZ", "gzip": "\x1f\x8b"} {
		if bytes.HasPrefix(data, []byte(magic)) {
			return program
		}
	}
	return ""
}

// decompress unpacks a kernel. Behind the compressed data its build has put the length, about which the programs
// complain after they have done their work.
func decompress(data []byte) ([]byte, error) {
	program := decompressor(data)
	if program == "" {
		return nil, fmt.Errorf("unknown compression: it starts with % x", data[:min(6, len(data))])
	}
	unpacked, err := filter(program, data)
	if !bytes.HasPrefix(unpacked, []byte("\x7fELF")) {
		return nil, fmt.Errorf("%s gives no ELF file: %w", program, errors.Join(err, errors.New("wrong first bytes")))
	}
	return unpacked, nil
}

// filter unpacks data with a program, and returns what it printed even if it complained.
func filter(program string, data []byte) ([]byte, error) {
	cmd := exec.Command(program, "-dc")
	cmd.Stdin = bytes.NewReader(data)
	return cmd.Output()
}
