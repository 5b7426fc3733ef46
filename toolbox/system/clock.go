// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"stave/toolbox/files"
	"stave/toolbox/tool"
)

// Date prints the time, or sets it: date [-u] [-d TIME] [-s TIME] [+FORMAT].
func Date(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "ud:s:I", "utc=u", "date=d", "set=s")
	if err != nil {
		return std.Fail(args[0], err)
	}
	t := time.Now()
	if text := o.Value('d', o.Value('s', "")); text != "" {
		if t, err = files.ParseTime(text); err != nil {
			return std.Fail(args[0], err)
		}
	}
	if o.Has("s") {
		now := unix.NsecToTimeval(t.UnixNano())
		if err := unix.Settimeofday(&now); err != nil {
			return std.Errorf(args[0], "set the clock: %v", err)
		}
	}
	if o.Has("u") {
		t = t.UTC()
	}
	format := "%a %b %e %H:%M:%S %Z %Y"
	if o.Has("I") {
		format = "%Y-%m-%d"
	}
	if len(o.Args) > 0 {
		var ok bool
		if format, ok = strings.CutPrefix(o.Args[0], "+"); !ok {
			return std.Errorf(args[0], "%s: a format begins with +", o.Args[0])
		}
	}
	fmt.Fprintln(std.Out, FormatTime(t, format))
	return 0
}

// FormatTime writes a time by a format of date(1); a letter that is unknown stays as it is.
func FormatTime(t time.Time, format string) string {
	var out strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 == len(format) {
			out.WriteByte(format[i])
			continue
		}
		i++
		out.WriteString(timePart(t, format[i]))
	}
	return out.String()
}

// timePart is what one letter of a format means.
func timePart(t time.Time, letter byte) string {
	layouts := map[byte]string{
		'a': "Mon", 'A': "Monday", 'b': "Jan", 'h': "Jan", 'B': "January", 'c': "Mon Jan _2 15:04:05 2006", 'd': "02", 'D': "01/02/06",
		'e': "_2", 'F': "2006-01-02", 'H': "15", 'I': "03", 'm': "01", 'M': "04", 'N': "", 'p': "PM", 'R': "15:04", 'S': "05",
		'T': "15:04:05", 'y': "06", 'Y': "2006", 'z': "-0700", 'Z': "MST", 'x': "01/02/06", 'X': "15:04:05",
	}
	switch letter {
	case '%':
		return "%"
	case 'n':
		return "\n"
	case 't':
		return "\t"
	case 's':
		return strconv.FormatInt(t.Unix(), 10)
	case 'N':
		return fmt.Sprintf("%09d", t.Nanosecond())
	case 'j':
		return fmt.Sprintf("%03d", t.YearDay())
	case 'u':
		return strconv.Itoa((int(t.Weekday())+6)%7 + 1)
	case 'w':
		return strconv.Itoa(int(t.Weekday()))
	}
	if layout, ok := layouts[letter]; ok {
		return t.Format(layout)
	}
	return "%" + string(rune(letter))
}

// parsePause reads a time as sleep takes it: seconds, or with s, m, h, d.
func parsePause(text string) (time.Duration, error) {
	units := map[byte]float64{'s': 1, 'm': 60, 'h': 3600, 'd': 86400}
	number, unit := text, 1.0
	if len(text) > 0 && units[text[len(text)-1]] != 0 {
		number, unit = text[:len(text)-1], units[text[len(text)-1]]
	}
	n, err := strconv.ParseFloat(number, 64)
	if number == "infinity" {
		return 1<<63 - 1, nil
	}
	if err != nil || n < 0 || !(n*unit < 9e9) {
		return 0, fmt.Errorf("%s: not a time", text)
	}
	return time.Duration(n * unit * float64(time.Second)), nil
}

// Sleep waits: sleep TIME…, in seconds or with s, m, h or d.
func Sleep(std tool.IO, args []string) int {
	if len(args) == 1 {
		return std.Errorf(args[0], "how long?")
	}
	var sum time.Duration
	for _, text := range args[1:] {
		d, err := parsePause(text)
		if err != nil {
			return std.Fail(args[0], err)
		}
		sum += d
	}
	time.Sleep(sum)
	return 0
}

// Timeout runs a command and ends it after a time: timeout [-s SIGNAL] TIME COMMAND [ARG…]. Its code is 124 then.
func Timeout(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "+s:k:", "signal=s")
	if err == nil && len(o.Args) < 2 {
		err = fmt.Errorf("usage: timeout [-s SIGNAL] TIME COMMAND")
	}
	if err != nil {
		std.Fail(args[0], err)
		return 125
	}
	limit, err := parsePause(o.Args[0])
	signal, err2 := ParseSignal(o.Value('s', "TERM"))
	if err != nil || err2 != nil {
		std.Errorf(args[0], "%s %s: not a time or a signal", o.Args[0], o.Value('s', "TERM"))
		return 125
	}
	cmd := exec.Command(o.Args[1], o.Args[2:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = std.In, tool.Inherit(std.Out), std.Err
	fired := make(chan struct{})
	timer := time.AfterFunc(limit, func() {
		close(fired)
		if cmd.Process != nil {
			_ = cmd.Process.Signal(signal)
		}
	})
	code := runCode(std, args[0], cmd)
	if !timer.Stop() {
		<-fired
		return 124
	}
	return code
}
