// SPDX-License-Identifier: Apache-2.0

package tool

import (
	"fmt"
	"io/fs"
	"math"
	"strconv"
	"strings"
)

// ParseSize reads a size with an optional unit: 4096, 64k, 10M, 2G; units are powers of 1024, and a "B" or "iB" after
// them changes nothing.
func ParseSize(text string) (int64, error) {
	t := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(text), "b"), "i")
	shift := 0
	if len(t) > 0 {
		if i := strings.IndexByte("kmgt", t[len(t)-1]); i >= 0 {
			shift = 10 * (i + 1)
			t = t[:len(t)-1]
		}
	}
	n, err := strconv.ParseInt(t, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return 0, fmt.Errorf("%s: not a size", text)
	}
	return n << shift, nil
}

// Human writes a number of bytes as df -h and ls -h do: at most four characters, rounded up.
func Human(n uint64) string {
	if n < 1024 {
		return strconv.FormatUint(n, 10)
	}
	f, unit := float64(n), ""
	for _, u := range []string{"K", "M", "G", "T", "P", "E"} {
		f /= 1024
		if unit = u; math.Ceil(f) < 1024 {
			break
		}
	}
	if tenths := math.Ceil(f*10) / 10; tenths < 10 {
		return fmt.Sprintf("%.1f%s", tenths, unit)
	}
	return fmt.Sprintf("%.0f%s", math.Ceil(f), unit)
}

// ModeString writes a mode as ls does: kind, three times rwx, with s and t for the set-id and sticky bits.
func ModeString(m fs.FileMode) string {
	b := []byte("-rwxrwxrwx")
	for i := range 9 {
		if m&(1<<(8-i)) == 0 {
			b[1+i] = '-'
		}
	}
	b[0] = KindLetter(m)
	for _, s := range []struct {
		bit   fs.FileMode
		at    int
		plain byte
	}{{fs.ModeSetuid, 3, 's'}, {fs.ModeSetgid, 6, 's'}, {fs.ModeSticky, 9, 't'}} {
		if m&s.bit == 0 {
			continue
		}
		if b[s.at] == 'x' {
			b[s.at] = s.plain
		} else {
			b[s.at] = s.plain - 'a' + 'A'
		}
	}
	return string(b)
}

// KindLetter is the letter ls and find have for a kind of file, "-" for a regular one.
func KindLetter(m fs.FileMode) byte {
	switch {
	case m&fs.ModeDir != 0:
		return 'd'
	case m&fs.ModeSymlink != 0:
		return 'l'
	case m&fs.ModeNamedPipe != 0:
		return 'p'
	case m&fs.ModeSocket != 0:
		return 's'
	case m&fs.ModeCharDevice != 0:
		return 'c'
	case m&fs.ModeDevice != 0:
		return 'b'
	}
	return '-'
}

// UnixMode is the twelve permission bits of a mode as the kernel counts them (chmod 4755).
func UnixMode(m fs.FileMode) uint32 {
	bits := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		bits |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		bits |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return bits
}
