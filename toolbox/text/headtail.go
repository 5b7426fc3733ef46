// SPDX-License-Identifier: Apache-2.0

package text

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"stave/toolbox/tool"
)

// amount is how much of a file head or tail prints.
type amount struct {
	n        int64
	bytes    bool
	reversed bool // head -n -3: all but the last three; tail -n +3: from the third on
}

// parseAmount reads -n, -c and the old form -5.
func parseAmount(args []string, spec string, sign string) (*tool.Options, amount, error) {
	var plain []string
	for _, arg := range args {
		if n, err := strconv.Atoi(arg); err == nil && n < 0 && (len(plain) == 0 || !strings.HasPrefix(plain[len(plain)-1], "-")) {
			plain = append(plain, "-n", arg[1:])
			continue
		}
		plain = append(plain, arg)
	}
	o, err := tool.Parse(plain, spec, "lines=n", "bytes=c", "quiet=q")
	if err != nil {
		return nil, amount{}, err
	}
	a := amount{bytes: o.Has("c")}
	text := o.Value('c', o.Value('n', "10"))
	text, a.reversed = strings.CutPrefix(text, sign)
	if a.n, err = tool.ParseSize(strings.TrimLeft(text, "+-")); err != nil {
		return nil, a, fmt.Errorf("%s: not a number", text)
	}
	return o, a, nil
}

// Head prints the beginning of files: head [-n N | -c N | -N] [-q] [FILE…].
func Head(std tool.IO, args []string) int {
	o, a, err := parseAmount(args[1:], "n:c:q", "-")
	if err != nil {
		return std.Fail(args[0], err)
	}
	return eachWithTitle(std, args[0], o, func(r io.Reader) error {
		if a.reversed {
			all, err := io.ReadAll(r)
			_, _ = std.Out.Write(all[:len(all)-len(lastPart(all, a))])
			return err
		}
		if a.bytes {
			_, err := io.CopyN(std.Out, r, a.n)
			if err == io.EOF {
				err = nil
			}
			return err
		}
		in := bufio.NewReader(r)
		for range a.n {
			line, err := in.ReadBytes('\n')
			_, _ = std.Out.Write(line)
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// eachWithTitle calls fn for every file, with the name above it when there are several.
func eachWithTitle(std tool.IO, name string, o *tool.Options, fn func(io.Reader) error) int {
	gap := ""
	return std.Each(name, o.Args, func(file string, r io.Reader) error {
		if len(o.Args) > 1 && !o.Has("q") {
			fmt.Fprintf(std.Out, "%s==> %s <==\n", gap, file)
			gap = "\n"
		}
		return fn(r)
	})
}

// lastPart is the end of data: so many bytes or lines.
func lastPart(data []byte, a amount) []byte {
	if a.bytes {
		return data[max(0, int64(len(data))-a.n):]
	}
	at := len(bytes.TrimSuffix(data, []byte("\n")))
	if a.n == 0 {
		return nil
	}
	for range a.n {
		if at = bytes.LastIndexByte(data[:at], '\n'); at < 0 {
			return data
		}
	}
	return data[at+1:]
}

// firstPart is the number of bytes before the place that "+N" names.
func firstPart(data []byte, a amount) []byte {
	skip := max(a.n-1, 0)
	if a.bytes {
		return data[:min(skip, int64(len(data)))]
	}
	at := 0
	for range skip {
		i := bytes.IndexByte(data[at:], '\n')
		if i < 0 {
			return data
		}
		at += i + 1
	}
	return data[:at]
}

// Tail prints the end of files: tail [-n N | -c N | -N] [-f] [-q] [FILE…]. -f goes on with what is added to the last file.
func Tail(std tool.IO, args []string) int {
	o, a, err := parseAmount(args[1:], "n:c:qfF", "+")
	if err != nil {
		return std.Fail(args[0], err)
	}
	code := eachWithTitle(std, args[0], o, func(r io.Reader) error {
		all, err := io.ReadAll(r)
		if a.reversed {
			_, _ = std.Out.Write(all[len(firstPart(all, a)):])
		} else {
			_, _ = std.Out.Write(lastPart(all, a))
		}
		if f, ok := r.(*os.File); ok && err == nil && o.Has("fF") && len(o.Args) > 0 {
			return follow(std, f)
		}
		return err
	})
	return code
}

// follow copies what is added to a file, for ever. A file that got shorter is read from its start.
func follow(std tool.IO, f *os.File) error {
	for {
		if _, err := io.Copy(std.Out, f); err != nil {
			return err
		}
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		if info, err := f.Stat(); err == nil && info.Size() < at {
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return err
			}
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// Wc counts lines, words and bytes: wc [-lwc] [FILE…].
func Wc(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "lwcm", "lines=l", "words=w", "bytes=c")
	if err != nil {
		return std.Fail(args[0], err)
	}
	var total [3]int
	files := 0
	code := std.Each(args[0], o.Args, func(name string, r io.Reader) error {
		data, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		n := [3]int{bytes.Count(data, []byte("\n")), len(bytes.Fields(data)), len(data)}
		for i := range n {
			total[i] += n[i]
		}
		files++
		if len(o.Args) == 0 {
			name = ""
		}
		printCounts(std, o, n, name)
		return nil
	})
	if files > 1 {
		printCounts(std, o, total, "total")
	}
	return code
}

// printCounts prints the counts that were asked for; a single one of standard input stands alone.
func printCounts(std tool.IO, o *tool.Options, n [3]int, name string) {
	var fields []string
	for i, letter := range []string{"l", "w", "cm"} {
		if o.Has(letter) || !o.Has("lwcm") {
			fields = append(fields, strconv.Itoa(n[i]))
		}
	}
	if name != "" {
		fields = append(fields, name)
	}
	fmt.Fprintln(std.Out, strings.Join(fields, " "))
}
