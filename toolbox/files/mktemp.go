// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"stave/toolbox/tool"
)

// Mktemp makes a new file, or with -d a folder, and prints its name: mktemp [-d] [-p FOLDER] [TEMPLATE]. The XXXXXX at the end of the template
// become something that no other file has.
func Mktemp(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "dp:", "directory=d", "tmpdir=p")
	if err != nil {
		return std.Fail(args[0], err)
	}
	dir, template := o.Value('p', os.TempDir()), "tmp.XXXXXX"
	if len(o.Args) > 0 {
		template = o.Args[0]
		if !o.Has("p") {
			dir = "."
		}
	}
	if !strings.HasSuffix(template, "XXX") {
		return std.Fail(args[0], errors.New(template+": a template ends in XXXXXX"))
	}
	if filepath.IsAbs(template) {
		dir = "/"
	}
	folder, base := filepath.Split(template)
	name, err := makeTemporary(filepath.Join(dir, folder), strings.TrimRight(base, "X")+"*", o.Has("d"))
	if err != nil {
		return std.Fail(args[0], err)
	}
	fmt.Fprintln(std.Out, filepath.Clean(name))
	return 0
}

// makeTemporary makes the file or the folder, for its owner alone.
func makeTemporary(dir, pattern string, folder bool) (string, error) {
	if folder {
		return os.MkdirTemp(dir, pattern)
	}
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return "", err
	}
	return f.Name(), f.Close()
}
