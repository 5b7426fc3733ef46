// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestArrange moves options before arguments where commands take them anywhere, and nowhere else.
func TestArrange(t *testing.T) {
	for line, want := range map[string]string{
		"":                                   "",
		"images":                             "images",
		"images busybox -q":                  "images -q -- busybox",
		"rmi a b -f c":                       "rmi -f -- a b c",
		"images -qf label=a x":               "images -qf label=a -- x",
		"images x --filter label=a":          "images --filter label=a -- x",
		"images x --filter=label=a":          "images --filter=label=a -- x",
		"image ls x -a":                      "image ls -a -- x",
		"image list x -a":                    "image list -a -- x",
		"save a -o - b":                      "save -o - -- a b",
		"import - name -m text":              "import -m text -- - name",
		"rmi -- -f":                          "rmi -- -f",
		"rmi a -- -f":                        "rmi -- a -f",
		"images x --unknown y":               "images --unknown -- x y",
		"images x --filter":                  "images --filter -- x",
		"manifest annotate l m --arch arm64": "manifest annotate --arch arm64 -- l m",
		"run -t box sh -c x":                 "run -t box sh -c x",
		"run box ls -a":                      "run box ls -a",
		"image":                              "image",
		"unknown x -f":                       "unknown x -f",
		"--version images -q":                "--version images -q",
		"--storage-driver vfs rmi a -f":      "--storage-driver vfs rmi -f -- a",
		"-storage-driver=vfs images x -q":    "-storage-driver=vfs images -q -- x",
		"--storage-driver vfs run box -a":    "--storage-driver vfs run box -a",
		"--storage-driver":                   "--storage-driver",
	} {
		got := arrange(append([]string{"stave"}, strings.Fields(line)...), commands())
		if diff := cmp.Diff(append([]string{"stave"}, strings.Fields(want)...), got); diff != "" {
			t.Errorf("%q: -want +got:\n%s", line, diff)
		}
	}
	if got := arrange(nil, commands()); len(got) > 0 {
		t.Errorf("no words become %q", got)
	}
}

// TestMirrors reads the list of mirrors.
func TestMirrors(t *testing.T) {
	want := map[string][]string{"docker.io": {"a.example", "b.example:5000"}, "quay.io": {"http://c.example/prefix"}}
	if diff := cmp.Diff(want, mirrors("a.example, docker.io=b.example:5000,quay.io=http://c.example/prefix")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := mirrors(""); len(got) > 0 {
		t.Errorf("no mirrors are %q", got)
	}
}

// TestServer reads what people give to login.
func TestServer(t *testing.T) {
	for word, want := range map[string]string{
		"": "docker.io", "docker.io": "docker.io", "https://index.docker.io/v1/": "docker.io", "registry-1.docker.io": "docker.io",
		"registry.example": "registry.example", "http://localhost:5000/": "localhost:5000", "registry.example:5000/team": "registry.example:5000",
	} {
		if got := hostOf(word); got != want {
			t.Errorf("%q is %s, want %s", word, got, want)
		}
	}
}

// TestFormat runs the functions of templates, also with values that they refuse.
func TestFormat(t *testing.T) {
	l := listing{headings: row{"A": "FIRST", "B": "SECOND"}, table: "{{.A}}\t{{.B}}", quiet: "{{.A}}"}
	rows := []row{{"A": "one two", "B": "<b>"}, {"A": "", "B": "x"}}
	for format, want := range map[string]string{
		"":                                 "FIRST     SECOND\none two   <b>\n          x\n",
		"table":                            "FIRST     SECOND\none two   <b>\n          x\n",
		`table {{pad .A 1 1}}|`:            " FIRST |\n one two |\n|\n",
		"{{title .A}}":                     "One Two\n\n",
		"{{json .B}}":                      "\"<b>\"\n\"x\"\n",
		"json":                             `{"A":"one two","B":"\u003cb\u003e"}` + "\n" + `{"A":"","B":"x"}` + "\n",
		`{{truncate .A 3}}{{"\t"}}.`:       "one\t.\n\t.\n",
		"{{truncate .A 0}}{{upper .B}}":    "<B>\nX\n",
		`{{join (split .A " ") "+"}}`:      "one+two\n\n",
		"{{println .B}}":                   "<b>\n\nx\n\n",
		"{{.C}}":                           "error",
		"{{pad .A -1 0}}":                  "error",
		"{{pad .A 0 100000}}":              "error",
		"{{truncate .A -1}}":               "error",
		"{{":                               "error",
		"{{nothing .A}}":                   "error",
		`table {{.A}}\t{{lower .B}}{{.C}}`: "error",
	} {
		var out bytes.Buffer
		err := l.print(&out, format, false, rows)
		got := out.String()
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%q prints %q, want %q (%v)", format, got, want, err)
		}
	}
}
