// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// Dd copies blocks: dd [if=FILE] [of=FILE] [bs=SIZE] [count=N] [skip=N] [seek=N] [conv=notrunc,fsync] [oflag=direct,append] [status=none].
func Dd(std tool.IO, args []string) int {
	values := map[string]string{"bs": "512", "count": "-1", "skip": "0", "seek": "0"}
	for _, arg := range args[1:] {
		name, value, ok := strings.Cut(arg, "=")
		switch name {
		case "if", "of", "bs", "count", "skip", "seek", "conv", "oflag", "status":
		default:
			ok = false
		}
		if !ok {
			return std.Errorf(args[0], "%s: unknown operand", arg)
		}
		values[name] = value
	}
	start := time.Now()
	full, part, bytes, err := dd(std, values)
	if values["status"] != "none" {
		seconds := time.Since(start).Seconds()
		fmt.Fprintf(std.Err, "%d+%d records\n%d bytes (%s) copied, %.3f seconds, %s/s\n", full, part, bytes, tool.Human(uint64(bytes)),
			seconds, tool.Human(uint64(float64(bytes)/max(seconds, 1e-9))))
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	return 0
}

// dd opens both ends and copies; it gives the number of full and partial blocks and of bytes.
func dd(std tool.IO, v map[string]string) (full, part, total int64, err error) {
	size, err := tool.ParseSize(v["bs"])
	if err == nil && size == 0 {
		err = errors.New("bs=0: not a size")
	}
	var n [3]int64
	for i, name := range []string{"count", "skip", "seek"} {
		if v[name] == "-1" {
			n[i] = -1
		} else if err == nil {
			n[i], err = tool.ParseSize(v[name])
		}
	}
	if err != nil {
		return 0, 0, 0, err
	}
	in := std.In
	if v["if"] != "" {
		f, err := os.Open(v["if"])
		if err != nil {
			return 0, 0, 0, err
		}
		defer f.Close()
		in = f
	}
	if _, err := io.CopyN(io.Discard, in, n[1]*size); err != nil && err != io.EOF {
		return 0, 0, 0, err
	}
	out := std.Out
	if v["of"] != "" {
		f, err := openOutput(v, n[2]*size)
		if err != nil {
			return 0, 0, 0, err
		}
		defer f.Close()
		out = f
	}
	full, part, total, err = copyBlocks(out, in, size, n[0])
	if f, ok := out.(*os.File); ok && err == nil && strings.Contains(v["conv"], "sync") {
		err = f.Sync()
	}
	return full, part, total, err
}

// openOutput opens the file of of=, cut off at the place where writing begins unless conv=notrunc.
func openOutput(v map[string]string, at int64) (*os.File, error) {
	flags := os.O_WRONLY | os.O_CREATE
	if strings.Contains(v["oflag"], "append") {
		flags |= os.O_APPEND
	}
	if strings.Contains(v["oflag"], "direct") {
		flags |= unix.O_DIRECT
	}
	f, err := os.OpenFile(v["of"], flags, 0o666)
	if err != nil {
		return nil, err
	}
	if info, e := f.Stat(); e == nil && info.Mode().IsRegular() && !strings.Contains(v["conv"], "notrunc") && flags&os.O_APPEND == 0 {
		err = f.Truncate(at)
	}
	if err == nil && at > 0 {
		_, err = f.Seek(at, io.SeekStart)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// copyBlocks copies count blocks, or all with -1; a block is what one read gives, as POSIX says. The buffer is aligned to a page
// by its size alone where O_DIRECT needs it: the Go allocator puts objects of a page and more on page borders.
func copyBlocks(out io.Writer, in io.Reader, size, count int64) (full, part, total int64, err error) {
	block := make([]byte, size)
	for count < 0 || full+part < count {
		n, err := in.Read(block)
		if n > 0 {
			if _, err := out.Write(block[:n]); err != nil {
				return full, part, total, err
			}
			total += int64(n)
			if int64(n) == size {
				full++
			} else {
				part++
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return full, part, total, err
		}
	}
	return full, part, total, nil
}
