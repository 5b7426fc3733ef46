// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"strings"
	"testing"
)

// TestRelative holds names of entries against the paths that they mean.
func TestRelative(t *testing.T) {
	for name, c := range map[string]struct{ in, want, fails string }{
		"plain":         {in: "usr/bin/a", want: "usr/bin/a"},
		"dot":           {in: "./usr/bin", want: "usr/bin"},
		"absolute":      {in: "//usr//bin/", want: "usr/bin"},
		"root":          {in: "./", want: ""},
		"slash":         {in: "/", want: ""},
		"empty":         {in: "", want: ""},
		"dots in names": {in: "..a/b../...", want: "..a/b../..."},
		"up":            {in: "../a", fails: `".."`},
		"up and down":   {in: "a/../b", fails: `".."`},
		"only up":       {in: "..", fails: `".."`},
		"hidden up":     {in: "/./..", fails: `".."`},
		"long":          {in: strings.Repeat("a/", 2048), fails: "4095 bytes"},
		"deep":          {in: strings.Repeat("a/", 513), fails: "513 levels"},
		"as deep":       {in: strings.Repeat("/a", 512), want: strings.Repeat("/a", 512)[1:]},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := relative(c.in)
			if got != c.want || (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("relative(%q) = %q, %v; want %q, %q", c.in, got, err, c.want, c.fails)
			}
		})
	}
}

// TestInterpret holds paths against what they ask for (image-spec, layer.md, "Whiteouts").
func TestInterpret(t *testing.T) {
	for in, want := range map[string]struct {
		what  meaning
		path  string
		fails bool
	}{
		"a/b":               {what: makes, path: "a/b"},
		"a.wh.b":            {what: makes, path: "a.wh.b"},
		"a/.wh":             {what: makes, path: "a/.wh"},
		"a/.wh.b":           {what: deletes, path: "a/b"},
		".wh.b":             {what: deletes, path: "b"},
		".wh.b.wh.c":        {what: deletes, path: "b.wh.c"},
		"a/.wh..wh..opq":    {what: hides, path: "a"},
		".wh..wh..opq":      {what: hides, path: ""},
		".wh..wh.plnk":      {what: nothing},
		".wh..wh.plnk/1.2":  {what: nothing},
		"a/.wh..wh.aufs":    {what: nothing},
		"a/.wh..wh..opq/b":  {what: nothing},
		"a/.wh.":            {fails: true},
		".wh..":             {fails: true},
		".wh...":            {fails: true},
		".wh.a/b":           {fails: true},
		"x/.wh.a/.wh.b":     {fails: true},
		"x/.wh.a/.wh..wh.b": {fails: true},
	} {
		what, path, err := interpret(in)
		if (err != nil) != want.fails || err == nil && (what != want.what || path != want.path) {
			t.Errorf("interpret(%q) = %v, %q, %v; want %+v", in, what, path, err, want)
		}
	}
}

// FuzzName looks for names that leave the folder or that delete what is no file in it.
func FuzzName(f *testing.F) {
	for _, seed := range []string{"a/b", "../a", "/a/./b//", ".wh.a", ".wh...", "a/.wh..wh..opq", ".wh..wh.plnk/x", "a/../../b", "\x00", "a\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		path, err := relative(name)
		if err != nil {
			return
		}
		again, err := relative(path)
		if err != nil || again != path {
			t.Fatalf("%q is %q, and that %q, %v", name, path, again, err)
		}
		what, path, err := interpret(path)
		if err != nil || what == nothing {
			return
		}
		for part := range strings.SplitSeq(path, "/") {
			if part == ".." || part == "." || part == "" && path != "" || strings.HasPrefix(part, whiteoutPrefix) {
				t.Fatalf("%q means %q", name, path)
			}
		}
	})
}
