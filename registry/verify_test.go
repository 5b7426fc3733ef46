// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/opencontainers/go-digest"

	"stave/registry"
	"stave/registry/storetest"
)

// TestVerify reads right and wrong bytes, in one piece and in small ones.
func TestVerify(t *testing.T) {
	right := storetest.Bytes("right", 100_000)
	wrong := bytes.Clone(right)
	wrong[99_999] ^= 1
	d := storetest.Describe(right)
	tests := map[string]struct {
		data []byte
		says string // "" for no error
	}{
		"right": {right, ""},
		"wrong": {wrong, "has the digest " + digest.FromBytes(wrong).String()},
		"short": {right[:99_999], "ends after 99999 of 100000 bytes"},
		"long":  {append(bytes.Clone(right), 0), "has more than its 100000 bytes"},
		"empty": {nil, "ends after 0 of 100000 bytes"},
	}
	forms := map[string]func(io.Reader) io.Reader{
		"plain": func(r io.Reader) io.Reader { return r }, "half": iotest.HalfReader, "data and error": iotest.DataErrReader,
	}
	for name, test := range tests {
		for form, wrap := range forms {
			t.Run(name+", "+form, func(t *testing.T) {
				r := registry.Verify(wrap(bytes.NewBuffer(test.data)), d)
				got, err := io.ReadAll(r)
				if test.says == "" {
					if err != nil || !bytes.Equal(got, right) {
						t.Errorf("read %d bytes, %v", len(got), err)
					}
					return
				}
				if !errors.Is(err, registry.ErrDigest) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), d.Digest.String()) {
					t.Errorf("error %v, want ErrDigest with %s and %q", err, d.Digest, test.says)
				}
				if len(got) > len(right) {
					t.Errorf("gave %d bytes", len(got))
				}
				if _, again := r.Read(make([]byte, 1)); !errors.Is(again, registry.ErrDigest) {
					t.Errorf("read again: %v", again)
				}
			})
		}
	}
}

// TestVerifySeek finds wrong bytes behind a seek, too.
func TestVerifySeek(t *testing.T) {
	right := storetest.Bytes("right", 100_000)
	wrong := bytes.Clone(right)
	wrong[10] ^= 1
	r := registry.Verify(bytes.NewReader(wrong), storetest.Describe(right))
	if _, err := r.(io.Seeker).Seek(50_000, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, registry.ErrDigest) {
		t.Errorf("read: %v, want ErrDigest", err)
	}
	if _, err := r.(io.Seeker).Seek(100_001, io.SeekStart); err == nil {
		t.Error("seek past the end: no error")
	}
	if _, is := registry.Verify(bytes.NewBuffer(right), storetest.Describe(right)).(io.Seeker); is {
		t.Error("the verifier of a stream says that it can seek")
	}
}

// TestVerifies is true for a whole blob only.
func TestVerifies(t *testing.T) {
	data := storetest.Bytes("x", 100)
	d, other := storetest.Describe(data), storetest.Describe(data[:99])
	r := registry.Verify(bytes.NewReader(data), d)
	if !registry.Verifies(r, d) || registry.Verifies(r, other) || registry.Verifies(bytes.NewReader(data), d) {
		t.Error("not for the whole, or for another blob, or for a reader that knows none")
	}
	if _, err := io.CopyN(io.Discard, r, 1); err != nil {
		t.Fatal(err)
	}
	if registry.Verifies(r, d) {
		t.Error("it verifies a blob of which the first byte was read")
	}
}

// TestAlgorithms verifies with the other digests that image-spec names.
func TestAlgorithms(t *testing.T) {
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA384, digest.SHA512} {
		d := storetest.Describe([]byte("hello"))
		d.Digest = algorithm.FromString("hello")
		if got, err := io.ReadAll(registry.Verify(strings.NewReader("hello"), d)); err != nil || string(got) != "hello" {
			t.Errorf("%s: %q, %v", algorithm, got, err)
		}
		if _, err := io.ReadAll(registry.Verify(strings.NewReader("hallo"), d)); !errors.Is(err, registry.ErrDigest) {
			t.Errorf("%s, wrong bytes: %v", algorithm, err)
		}
	}
}
