// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestJudge reads what validation programs print.
func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		output string
		code   int
		want   string
	}{
		"all hold":                  {output: "TAP version 13\nok 1 - a\nok 2 # SKIP b\n1..2\n", want: "+2"},
		"plan first":                {output: "TAP version 13\n1..1\nok 1 - a\n", want: "+1"},
		"one does not":              {output: "ok 1 - a\nnot ok 2 - b\n1..2\n", want: "-1/2"},
		"fewer than planned":        {output: "1..3\nok 1 - a\nok 2 - b\n", want: "-2/2"},
		"no plan":                   {output: "ok 1 - a\n", want: "-1/1"},
		"ends badly":                {output: "ok 1 - a\n1..1\n", code: 1, want: "-1/1"},
		"no assertion, no error":    {output: "TAP version 13\n1..0\n", want: "+0"},
		"no assertion but an error": {output: "TAP version 13\n  ---\n  {\n    \"error\": \"no hook\"\n  }\n  ...\n1..0\n", want: "-0/0"},
		"an error that had to come": {output: "ok 1 - a\n  ---\n  {\n    \"error\": \"exit status 1\"\n  }\n  ...\n1..1\n", want: "+1"},
		"two parts":                 {output: "ok 1 - a\n1..1\nok 1 - b\n1..1\n", want: "+2"},
		"says nothing":              {want: "+0"},
		"says nothing, ends badly":  {code: 1, want: "-0/0"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := judge(c.output, c.code).String(); got != c.want {
				t.Errorf("score %s, want %s", got, c.want)
			}
		})
	}
}

// TestTable reads and writes a table, and asks it what is owed.
func TestTable(t *testing.T) {
	text := "# what is reached\n" +
		"file legacy/crun legacy/runc unified/runc\n" +
		"create +4 +4 +4\n" +
		"delete -3/5 -3/5 +5\n" +
		"hooks -0/0 -0/0 -0/0\n" +
		"poststart_fail +0 +0 +0\n" +
		"linux_cgroups_cpus +7 -6/7 .\n"
	all, err := parseTable(text)
	if err != nil {
		t.Fatal(err)
	}
	again, err := parseTable(all.String())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, again); diff != "" {
		t.Errorf("written and read again (-before +after):\n%s", diff)
	}
	got := map[string]bool{}
	for _, shown := range []layout{legacy, hybrid, unified, empty} {
		for _, file := range []string{"create", "delete", "linux_cgroups_cpus"} {
			got[string(shown)+" "+file] = all.owed(shown, file)
		}
	}
	want := map[string]bool{
		"legacy create": true, "legacy delete": false, "legacy linux_cgroups_cpus": true,
		"hybrid create": true, "hybrid delete": false, "hybrid linux_cgroups_cpus": true,
		"unified create": true, "unified delete": true, "unified linux_cgroups_cpus": false,
		"empty create": true, "empty delete": false, "empty linux_cgroups_cpus": false,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("owed (-want +got):\n%s", diff)
	}
	for _, file := range []string{"hooks", "poststart_fail"} {
		if all.owed(legacy, file) {
			t.Errorf("%s is owed, which no peer passes, or which is declined", file)
		}
	}
	if _, err := parseTable("file a/b c/d\ncreate +1\n"); err == nil {
		t.Error("a line with one cell for two columns is read without an error")
	}
}

// TestLayout tells the layout from mounts.
func TestLayout(t *testing.T) {
	first := "29 28 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
	second := "38 28 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	for name, c := range map[string]struct {
		mountinfo, controllers string
		want                   layout
	}{
		"version 1":             {first, "", legacy},
		"both":                  {first + second, "hugetlb", hybrid},
		"version 2":             {second, "cpu memory pids", unified},
		"version 2, nothing in": {second, "", empty},
	} {
		t.Run(name, func(t *testing.T) {
			if got := layoutOf(c.mountinfo, c.controllers); got != c.want {
				t.Errorf("layout %s, want %s", got, c.want)
			}
		})
	}
}
