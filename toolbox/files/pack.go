// SPDX-License-Identifier: Apache-2.0

package files

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"

	"stave/toolbox/tool"
)

// Gzip compresses files to FILE.gz and removes them: gzip [-cdkf] [FILE…]. Without a file it is a filter; -d, and gunzip, go back.
func Gzip(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "cdkf", "stdout=c", "decompress=d", "keep=k")
	if err != nil {
		return std.Fail(args[0], err)
	}
	pack := compressTo
	undo := o.Has("d") || args[0] == "gunzip" || args[0] == "zcat"
	if undo {
		pack = expandTo
	}
	return std.Each(args[0], o.Args, func(name string, r io.Reader) error {
		if name == "-" || o.Has("c") || args[0] == "zcat" {
			return pack(std.Out, r)
		}
		target := name + ".gz"
		if undo {
			var ok bool
			if target, ok = strings.CutSuffix(name, ".gz"); !ok {
				if target, ok = strings.CutSuffix(name, ".tgz"); !ok {
					return fmt.Errorf("%s: its name doesn't end in .gz", name)
				}
				target += ".tar"
			}
		}
		if err := packFile(target, r, pack, o.Has("f")); err != nil || o.Has("k") {
			return err
		}
		return os.Remove(name)
	})
}

// packFile writes what pack makes of r to a new file.
func packFile(target string, r io.Reader, pack func(io.Writer, io.Reader) error, force bool) error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if force {
		flags = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(target, flags, 0o666)
	if err != nil {
		return err
	}
	err = pack(f, r)
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		_ = os.Remove(target)
	}
	return err
}

// compressTo writes r to w as gzip.
func compressTo(w io.Writer, r io.Reader) error {
	z := gzip.NewWriter(w)
	if _, err := io.Copy(z, r); err != nil {
		return err
	}
	return z.Close()
}

// expandTo writes what was compressed in r to w.
func expandTo(w io.Writer, r io.Reader) error {
	z, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, z)
	return err
}

// Sha256sum prints SHA-256 sums, or checks those in a list: sha256sum [-c] [FILE…].
func Sha256sum(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "cb", "check=c")
	if err != nil {
		return std.Fail(args[0], err)
	}
	bad := 0
	code := std.Each(args[0], o.Args, func(name string, r io.Reader) error {
		if o.Has("c") {
			n, err := checkSums(std, r)
			bad += n
			return err
		}
		sum, err := sumOf(r)
		if err == nil {
			fmt.Fprintf(std.Out, "%s  %s\n", sum, name)
		}
		return err
	})
	if bad > 0 {
		return std.Errorf(args[0], "%d sums did not match", bad)
	}
	return code
}

// sumOf is the SHA-256 sum of what r gives.
func sumOf(r io.Reader) (string, error) {
	h := sha256.New()
	_, err := io.Copy(h, r)
	return hex.EncodeToString(h.Sum(nil)), err
}

// checkSums checks the lines of a list, "SUM  NAME", and gives the number of those that were wrong.
func checkSums(std tool.IO, list io.Reader) (bad int, err error) {
	text, err := io.ReadAll(list)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		want, name, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		name = strings.TrimLeft(name, " *")
		sum := ""
		if f, err := os.Open(name); err == nil {
			sum, _ = sumOf(f) // an unreadable file has no sum that matches
			f.Close()
		}
		if sum != want {
			bad++
			fmt.Fprintf(std.Out, "%s: FAILED\n", name)
		} else {
			fmt.Fprintf(std.Out, "%s: OK\n", name)
		}
	}
	return bad, nil
}
