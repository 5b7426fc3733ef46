// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"

	"stave/internal/witness"
)

// text is what compresses well, but not to nothing.
func text(n int) []byte {
	r := rand.New(rand.NewPCG(1, 2))
	data := make([]byte, n)
	for i := range data {
		data[i] = byte('a' + r.IntN(4))
	}
	return data
}

// TestCompress compresses in pieces, and has other programs read it.
func TestCompress(t *testing.T) {
	data := text(300 << 10)
	for name, c := range map[string]struct {
		compression Compression
		level       int
		program     string
	}{
		"none":      {None, 0, "cat"},
		"gzip":      {Gzip, 0, "gzip -dc"},
		"fast gzip": {Gzip, 1, "gzip -dc"},
		"good gzip": {Gzip, 9, "gzip -dc"},
		"zstd":      {Zstd, 0, "zstd -dc"},
		"good zstd": {Zstd, 19, "zstd -dc"},
	} {
		t.Run(name, func(t *testing.T) {
			first, z := compress(t, data, c.compression, c.level, 1000)
			if z.Digest() != digest.FromBytes(first) || z.Size() != int64(len(first)) || z.DiffID() != digest.FromBytes(data) {
				t.Errorf("digest %s, size %d, diff ID %s", z.Digest(), z.Size(), z.DiffID())
			}
			if second, _ := compress(t, data, c.compression, c.level, 77_777); !bytes.Equal(first, second) {
				t.Error("in other pieces, the bytes are others")
			}
			if c.compression != None && len(first) > len(data)/2 {
				t.Errorf("%d bytes are now %d", len(data), len(first))
			}
			r, err := Decompress(bytes.NewReader(first))
			must(t, err)
			back, err := io.ReadAll(r)
			must(t, err)
			must(t, r.Close())
			if !bytes.Equal(back, data) {
				t.Error("decompressed, the bytes are others")
			}
			args := strings.Fields(c.program)
			witness.Need(t, "command:"+args[0])
			command := exec.Command(args[0], args[1:]...)
			command.Stdin = bytes.NewReader(first)
			if theirs, err := command.Output(); err != nil || !bytes.Equal(theirs, data) {
				t.Errorf("%s: %d bytes, %v", c.program, len(theirs), err)
			}
		})
	}
}

// compress compresses data in pieces.
func compress(t testing.TB, data []byte, c Compression, level, piece int) ([]byte, *Compressor) {
	t.Helper()
	var packed bytes.Buffer
	z, err := Compress(&packed, c, level)
	must(t, err)
	for rest := data; len(rest) > 0; rest = rest[min(piece, len(rest)):] {
		_, err := z.Write(rest[:min(piece, len(rest))])
		must(t, err)
	}
	must(t, z.Close())
	return packed.Bytes(), z
}

// TestCompressErrors refuses unknown levels, and passes errors of the writer on.
func TestCompressErrors(t *testing.T) {
	for want, c := range map[string]struct {
		compression Compression
		level       int
	}{
		"gzip has no level 10":          {Gzip, 10},
		"gzip has no level -1":          {Gzip, -1},
		"zstd has no level 23":          {Zstd, 23},
		"no compression has no level 1": {None, 1},
		"compression 7 has no level 0":  {7, 0},
	} {
		if _, err := Compress(io.Discard, c.compression, c.level); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	for _, c := range []Compression{None, Gzip, Zstd} {
		z, err := Compress(brokenWriter{}, c, 0)
		must(t, err)
		_, err = z.Write(text(1 << 20))
		if err = errors.Join(err, z.Close()); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%s: error %v", c, err)
		}
	}
}

// brokenWriter is a pipe that nobody reads.
type brokenWriter struct{}

// Write fails.
func (brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

// TestDecompress knows a compression by its first bytes, and reads what other programs make.
func TestDecompress(t *testing.T) {
	tarball := archive(t, entry{name: "BZh91AY&SY", content: "a name like a compression"})
	gz, _ := compress(t, tarball, Gzip, 0, 512)
	zst, _ := compress(t, tarball, Zstd, 0, 512)
	half := len(tarball) / 2
	first, _ := compress(t, tarball[:half], Gzip, 0, 512)
	second, _ := compress(t, tarball[half:], Gzip, 0, 512)
	for name, c := range map[string]struct {
		in    []byte
		fails string
	}{
		"plain":               {in: tarball},
		"gzip":                {in: gz},
		"two gzip members":    {in: append(bytes.Clone(first), second...)},
		"zstd":                {in: zst},
		"zstd, skipped frame": {in: append([]byte("\x50\x2a\x4d\x18\x03\x00\x00\x00abc"), zst...)},
		"short gzip":          {in: gz[:len(gz)-9], fails: "unexpected EOF"},
		"wrong gzip sum":      {in: append(gz[:len(gz)-8:len(gz)-8], "\x00\x00\x00\x00\x00\x00\x00\x00"...), fails: "checksum"},
		"short zstd":          {in: zst[:len(zst)-9], fails: "unexpected EOF"},
		"half a gzip header":  {in: gz[:5], fails: "read a layer with gzip"},
		"xz":                  {in: []byte("\xfd7zXZ\x00 and more"), fails: "compressed with xz: layers are tar, tar with gzip or tar with zstd"},
		"bzip2":               {in: []byte("BZh91AY&SY"), fails: "compressed with bzip2"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := Decompress(iotest.OneByteReader(bytes.NewReader(c.in)))
			var out []byte
			if err == nil {
				out, err = io.ReadAll(r)
				err = errors.Join(err, r.Close())
			}
			if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Fatalf("error %v, want %q", err, c.fails)
			}
			if err == nil && !bytes.Equal(out, tarball) {
				t.Errorf("%d other bytes", len(out))
			}
		})
	}
}

// TestWindow refuses a zstd archive that takes too much memory to read: a frame says how far back it refers (RFC 8878, 3.1.1.1.2).
func TestWindow(t *testing.T) {
	for window, want := range map[byte]error{17 << 3: nil, 17<<3 | 1: zstd.ErrWindowSizeExceeded, 31 << 3: zstd.ErrWindowSizeExceeded} {
		frame := []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window, 1, 0, 0} // 2^(10+17) bytes, 9/8 of that, 2^41; then an empty block
		r, err := Decompress(bytes.NewReader(frame))
		must(t, err)
		if _, err := io.Copy(io.Discard, r); !errors.Is(err, want) {
			t.Errorf("window %#x: error %v, want %v", window, err, want)
		}
		must(t, r.Close())
	}
}

// TestStream computes the digest of all bytes, whatever the sizes of the pieces, and ends its goroutines when it is closed early.
func TestStream(t *testing.T) {
	whole := append(archive(t, entry{name: "a", content: string(text(blockSize * 11))}), make([]byte, 3*blockSize+7)...)
	for name, r := range map[string]io.Reader{
		"whole":     bytes.NewReader(whole),
		"halves":    iotest.HalfReader(bytes.NewReader(whole)),
		"data, EOF": iotest.DataErrReader(bytes.NewReader(whole)),
	} {
		result, err := Unpack(t.Context(), t.TempDir(), r, owned())
		if err != nil || result.DiffID != digest.FromBytes(whole) || result.Bytes != blockSize*11 || result.Entries != 1 {
			t.Errorf("%s: %+v, %v", name, result, err)
		}
	}
	s := newStream(t.Context(), bytes.NewReader(whole), 1<<30)
	_, err := io.ReadFull(s, make([]byte, 10))
	must(t, err)
	must(t, s.Close())
	if _, open := <-s.hashed; open {
		t.Error("the hasher still runs")
	}
	_, err = Unpack(t.Context(), t.TempDir(), io.MultiReader(bytes.NewReader(whole[:blockSize*12]), iotest.ErrReader(io.ErrClosedPipe)), owned())
	if !errors.Is(err, io.ErrClosedPipe) || !strings.Contains(err.Error(), `read what follows the last layer entry, "a"`) {
		t.Errorf("error %v", err)
	}
	_, err = Unpack(t.Context(), t.TempDir(), stuck{}, owned())
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("error %v", err)
	}
}

// TestEndless refuses an archive that doesn't end, as one of zeros compressed to nothing would seem.
func TestEndless(t *testing.T) {
	o := owned()
	o.Limits = Limits{Bytes: 1 << 20, Entries: 10}
	_, err := Unpack(t.Context(), t.TempDir(), zeros{}, o)
	if err == nil || !strings.Contains(err.Error(), "the archive has more than 1089536 bytes") {
		t.Errorf("error %v", err)
	}
}

// zeros is an endless reader.
type zeros struct{}

// Read reads zeros.
func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// stuck is a reader that never has anything.
type stuck struct{}

// Read reads nothing.
func (stuck) Read([]byte) (int, error) { return 0, nil }

// BenchmarkUnpack unpacks a hundred files of 10 KB and one of 10 MB, compressed with gzip.
func BenchmarkUnpack(b *testing.B) {
	dir := b.TempDir()
	for i := range 100 {
		write(b, filepath.Join(dir, string(rune('a'+i/10)), string(rune('a'+i%10))), string(text(10_000)))
	}
	write(b, filepath.Join(dir, "big"), string(text(10_000_000)))
	data := pack(b, dir, owned())
	packed, _ := compress(b, data, Gzip, 0, 1<<20)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		to := b.TempDir()
		b.StartTimer()
		r, err := Decompress(bytes.NewReader(packed))
		must(b, err)
		_, err = Unpack(b.Context(), to, r, owned())
		must(b, err)
		must(b, r.Close())
		b.StopTimer()
		must(b, os.RemoveAll(to))
		b.StartTimer()
	}
}
