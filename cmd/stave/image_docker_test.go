// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/urfave/cli/v2"

	"stave/engine/images"
	"stave/internal/witness"
	"stave/registry"
	"stave/registry/remote"
)

// leftOut are docker's options that stave's commands don't have, with the reason.
func leftOut() map[string]string {
	const (
		trust = "Docker Content Trust: its servers are being shut down, and its default is to do nothing"
		tree  = "experimental, of docker's containerd store"
	)
	return map[string]string{
		"pull --disable-content-trust": trust, "push --disable-content-trust": trust,
		"image pull --disable-content-trust": trust, "image push --disable-content-trust": trust,
		"images --tree": tree, "image ls --tree": tree,
		"rmi --no-prune": "stave keeps no untagged parents", "image rm --no-prune": "stave keeps no untagged parents",
	}
}

// TestKnowsAllOfDocker reads docker's help: each of its commands for images is one of stave, and each option of them, long and short, by the
// same kind of value.
func TestKnowsAllOfDocker(t *testing.T) {
	witness.Need(t, "command:docker")
	known := leftOut()
	names := []string{"pull", "push", "images", "tag", "save", "load", "import", "export", "commit", "login", "logout", "search", "history", "rmi"}
	for _, group := range []string{"image", "manifest"} {
		for _, word := range subcommands(t, group) {
			if word != "build" { // builds are not images yet
				names = append(names, group+" "+word)
			}
		}
	}
	if len(names) < 14+11+5 {
		t.Errorf("docker's help has but these commands: %q", names)
	}
	options := 0
	for _, name := range names {
		command := lookUp(commands(), strings.Fields(name))
		if command == nil {
			t.Errorf("docker's command %s is missing", name)
			continue
		}
		for _, o := range optionsOf(dockerHelp(t, strings.Fields(name)...)) {
			options++
			f := flagOf(command, o.long)
			switch {
			case known[name+" --"+o.long] != "":
				if f != nil {
					t.Errorf("%s --%s is there: take it from the list of what is left out", name, o.long)
				}
			case f == nil:
				t.Errorf("%s: docker's option --%s is missing", name, o.long)
			case o.short != "" && !slices.Contains(f.Names(), o.short):
				t.Errorf("%s --%s: the short form -%s is missing", name, o.long, o.short)
			case f.(cli.DocGenerationFlag).TakesValue() != o.valued:
				t.Errorf("%s --%s: takes a value: ours %v, docker's %v", name, o.long, !o.valued, o.valued)
			}
		}
	}
	if options < 50 {
		t.Errorf("only %d options were found in docker's help", options)
	}
}

// dockerHelp is docker's help for a command.
func dockerHelp(t *testing.T, words ...string) string {
	t.Helper()
	out, err := exec.Command("docker", append(words, "--help")...).Output()
	if err != nil {
		t.Fatalf("docker %q --help: %v", words, err)
	}
	return string(out)
}

// subcommands lists the commands of a word of docker's:
//
//	Commands:
//	  history     Show the history of an image
func subcommands(t *testing.T, word string) (names []string) {
	t.Helper()
	_, list, _ := strings.Cut(dockerHelp(t, word), "\nCommands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for line := range strings.Lines(list) {
		names = append(names, strings.Fields(line)[0])
	}
	return names
}

// option is an option in docker's help.
type option struct {
	short, long string
	valued      bool
}

// optionsOf reads the options of a help text; those on the next lines are text:
//
//	-f, --filter filter   Filter output based on conditions provided
//	    --no-trunc        Don't truncate output
func optionsOf(help string) (list []option) {
	pattern := regexp.MustCompile(`(?m)^ {2}(?:-(\w), |    )--([\w-]+)(?: (\w+))?(?:  |$)`)
	for _, match := range pattern.FindAllStringSubmatch(help, -1) {
		list = append(list, option{match[1], match[2], match[3] != ""})
	}
	return list
}

// lookUp finds a command.
func lookUp(list []*cli.Command, words []string) *cli.Command {
	i := slices.IndexFunc(list, func(c *cli.Command) bool { return c.HasName(words[0]) })
	if i < 0 || len(words) == 1 {
		if i < 0 {
			return nil
		}
		return list[i]
	}
	return lookUp(list[i].Subcommands, words[1:])
}

// flagOf finds an option of a command.
func flagOf(c *cli.Command, name string) cli.Flag {
	for _, f := range c.Flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// daemon is a server that answers docker's client with what we give it, by path.
func daemon(t *testing.T, answers map[string]any) (docker func(args ...string) string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Api-Version", "1.50")
		w.Header().Set("Content-Type", "application/json")
		path := regexp.MustCompile(`^/v1\.\d+`).ReplaceAllString(r.URL.Path, "")
		answer, ok := answers[path]
		if !ok {
			w.WriteHeader(http.StatusOK) // _ping
			return
		}
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false) // as dockerd does
		if err := encoder.Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	config := t.TempDir()
	return func(args ...string) string {
		t.Helper()
		c := exec.Command("docker", args...)
		c.Env = append(os.Environ(), "DOCKER_HOST=tcp://"+strings.TrimPrefix(server.URL, "http://"), "DOCKER_CONFIG="+config, "DOCKER_TLS_VERIFY=", "TZ=UTC")
		out, err := c.CombinedOutput()
		if err != nil {
			t.Fatalf("docker %q: %v\n%s", args, err, out)
		}
		return string(out)
	}
}

// idOf makes a digest.
func idOf(text string) digest.Digest { return digest.FromString(text) }

// pictures are images in all states that a list of images shows in its own way.
func pictures() []*images.Image {
	image := func(name string, ago time.Duration, size int64, names, digests []string) *images.Image {
		made := time.Now().Add(-ago).Truncate(time.Second)
		c := &images.Config{Image: ocispec.Image{Created: &made}}
		return &images.Image{ID: idOf(name), Config: c, Size: size, Names: names, Digests: digests}
	}
	at := func(repository, text string) string { return repository + "@" + idOf(text).String() }
	return []*images.Image{
		image("busybox", 30*time.Hour, 4_261_550, []string{"docker.io/library/busybox:1.36", "docker.io/library/busybox:latest"}, []string{at("docker.io/library/busybox", "x")}),
		image("two digests", 90*time.Second, 999, []string{"docker.io/team/app:v1"}, []string{at("docker.io/team/app", "a"), at("docker.io/team/app", "b")}),
		image("by digest", 400*24*time.Hour, 1_234_567_890, nil, []string{at("registry.example:5000/app", "c")}),
		image("dangling", 50*24*time.Hour, 0, nil, nil),
		image("local", 20*time.Second, 77_000_000, []string{"registry.example:5000/local:dev"}, nil),
	}
}

// summary is an image as the Engine API lists it.
func summary(i *images.Image) map[string]any {
	short := func(names []string) []string {
		list := []string{}
		for _, name := range names {
			list = append(list, registry.Familiar(name))
		}
		return list
	}
	return map[string]any{
		"Id": i.ID, "RepoTags": short(i.Names), "RepoDigests": short(i.Digests), "Created": i.Created().Unix(), "Size": i.Size,
		"Containers": -1, "SharedSize": -1, "Labels": nil, "ParentId": "",
	}
}

// TestImagesLikeDocker prints the same images with docker's client and with our listing.
func TestImagesLikeDocker(t *testing.T) {
	witness.Need(t, "command:docker")
	t.Setenv("TZ", "UTC")
	var summaries []any
	for _, i := range pictures() {
		summaries = append(summaries, summary(i))
	}
	docker := daemon(t, map[string]any{"/images/json": summaries})
	for name, test := range map[string]struct {
		format                string
		quiet, digests, whole bool
	}{
		"plain": {}, "quiet": {quiet: true}, "digests": {digests: true}, "whole": {whole: true}, "quiet, whole": {quiet: true, whole: true},
		"digests, whole": {digests: true, whole: true},
		"json":           {format: "json"}, "json, digests": {format: "json", digests: true}, "json, whole": {format: "json", whole: true},
		"template":   {format: "{{.ID}}: {{.Repository}}"},
		"functions":  {format: `{{upper .Repository}} {{lower .Tag}} {{title .Repository}} {{pad .Tag 1 2}}| {{truncate .ID 4}} {{join (split .Repository "/") "-"}} {{json .Tag}} {{println .Size}}`},
		"all fields": {format: "{{.ID}}|{{.Repository}}|{{.Tag}}|{{.CreatedSince}}|{{.CreatedAt}}|{{.Size}}|{{.Containers}}|{{.SharedSize}}|{{.UniqueSize}}|{{.VirtualSize}}"},
		"digest":     {format: "{{.Repository}} {{.Digest}}"},
		"json of it": {format: "{{json .}}"},
		"table":      {format: "table"}, "table, quiet": {format: "table", quiet: true}, "table, digests": {format: "table", digests: true},
		"own table":      {format: `table {{.ID}}\t{{.Repository}}:{{.Tag}}\t{{.Size}}\t{{.CreatedAt}}`},
		"upper table":    {format: `table {{upper .Repository}}\t{{json .Tag}}\t{{truncate .ID 5}}`},
		"table, whole":   {format: `table {{.ID}}`, whole: true},
		"escapes":        {format: `a\tb\n{{.Tag}}`},
		"text":           {format: "no field"},
		"quiet template": {format: "{{.Repository}}", quiet: true},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"images"}
			for option, set := range map[string]bool{"-q": test.quiet, "--digests": test.digests, "--no-trunc": test.whole} {
				if set {
					args = append(args, option)
				}
			}
			if test.format != "" {
				args = append(args, "--format", test.format)
			}
			var rows []row
			for _, i := range pictures() {
				rows = append(rows, imageRows(i, test.digests || strings.Contains(test.format, "{{.Digest}}"), test.digests, test.whole, time.Now())...)
			}
			var ours bytes.Buffer
			if err := imageListing(test.digests).print(&ours, test.format, test.quiet, rows); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(steady(docker(args...)), steady(ours.String())); diff != "" {
				t.Errorf("-docker +stave:\n%s", diff)
			}
		})
	}
}

// steady takes the seconds out of a text, which go on between two commands.
func steady(text string) string {
	return regexp.MustCompile(`(\d+) seconds ago|About a minute ago|\d\d:\d\d:\d\d`).ReplaceAllStringFunc(text, func(s string) string { return strings.Repeat("~", len(s)) })
}

// TestHistoryLikeDocker prints the same history with docker's client and with our listing.
func TestHistoryLikeDocker(t *testing.T) {
	witness.Need(t, "command:docker")
	t.Setenv("TZ", "UTC")
	made := time.Now().Add(-100 * time.Hour).Truncate(time.Second)
	steps := []images.Step{
		{ID: idOf("x"), Tags: []string{"x:latest"}, Created: made, CreatedBy: `/bin/sh -c #(nop)  CMD ["sh"]`, Comment: "buildkit.dockerfile.v0"},
		{Created: made, CreatedBy: "RUN\tapt-get update && apt-get install a-package-with-a-name that is long # buildkit", Size: 123_456_789},
		{Created: made.Add(-time.Hour), CreatedBy: "ADD ünïcödé-ünïcödé-ünïcödé-ünïcödé-ünïcödé-ünïcödé", Size: 4_261_550, Comment: "a comment"},
		{Created: time.Unix(0, 0)},
	}
	var answer []any
	for _, s := range steps {
		id := string(s.ID)
		if id == "" {
			id = "<missing>"
		}
		answer = append(answer, map[string]any{"Id": id, "Created": s.Created.Unix(), "CreatedBy": s.CreatedBy, "Tags": s.Tags, "Size": s.Size, "Comment": s.Comment})
	}
	docker := daemon(t, map[string]any{"/images/x/history": answer})
	for name, test := range map[string]struct {
		format       string
		quiet, whole bool
		human        bool
	}{
		"plain": {human: true}, "quiet": {human: true, quiet: true}, "whole": {human: true, whole: true}, "quiet, whole": {human: true, quiet: true, whole: true},
		"for programs": {}, "json": {human: true, format: "json"}, "template": {human: true, format: "{{.ID}} {{.CreatedAt}} {{.Size}}"},
		"table": {human: true, format: `table {{.ID}}\t{{.CreatedAt}}\t{{.Comment}}`},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"history", "--human=" + strconv.FormatBool(test.human), "--quiet=" + strconv.FormatBool(test.quiet), "--no-trunc=" + strconv.FormatBool(test.whole), "x"}
			if test.format != "" {
				args = append(args, "--format", test.format)
			}
			var rows []row
			for _, s := range steps {
				rows = append(rows, historyRow(s, test.human, test.whole, time.Now()))
			}
			var ours bytes.Buffer
			if err := historyListing(test.human).print(&ours, test.format, test.quiet, rows); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(docker(args...), ours.String()); diff != "" {
				t.Errorf("-docker +stave:\n%s", diff)
			}
		})
	}
}

// TestSearchLikeDocker prints the same repositories with docker's client and with our listing.
func TestSearchLikeDocker(t *testing.T) {
	witness.Need(t, "command:docker")
	found := []remote.Found{
		{Name: "busybox", Description: "Busybox base image.", Stars: 3300, Official: true},
		{Name: "team/busybox", Description: "a description that is much longer than a column\nof the table is", Stars: 7},
		{Name: "none", Description: ""},
	}
	var answer []any
	for _, f := range found {
		answer = append(answer, map[string]any{"name": f.Name, "description": f.Description, "star_count": f.Stars, "is_official": f.Official, "is_automated": false})
	}
	docker := daemon(t, map[string]any{"/images/search": answer})
	for name, test := range map[string]struct {
		format string
		whole  bool
	}{
		"plain": {}, "whole": {whole: true}, "template": {format: "{{.Name}}: {{.StarCount}} {{.IsOfficial}}"}, "table": {format: `table {{.Name}}\t{{.IsOfficial}}`},
		"json": {format: "json"},
	} {
		t.Run(name, func(t *testing.T) {
			args := []string{"search", "x"}
			if test.format != "" {
				args = append(args, "--format", test.format)
			}
			if test.whole {
				args = append(args, "--no-trunc")
			}
			var rows []row
			for _, f := range found {
				rows = append(rows, searchRow(f, test.whole, test.format == "json"))
			}
			var ours bytes.Buffer
			if err := searchListing().print(&ours, test.format, false, rows); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(docker(args...), ours.String()); diff != "" {
				t.Errorf("-docker +stave:\n%s", diff)
			}
		})
	}
}

// TestInspectLikeDocker prints the same object with docker's client and ours.
func TestInspectLikeDocker(t *testing.T) {
	witness.Need(t, "command:docker")
	object := images.Details{
		ID: idOf("x").String(), RepoTags: []string{"x:latest"}, RepoDigests: []string{}, Created: "2026-01-02T03:04:05Z", Os: "linux", Architecture: "amd64", Size: 4711,
		Config:      images.Settings{ImageConfig: ocispec.ImageConfig{Cmd: []string{"sh", "-c", "a && b <c>"}, Labels: map[string]string{"a": "b"}}},
		GraphDriver: images.GraphDriver{Data: map[string]string{"UpperDir": "/x"}}, RootFS: images.RootFS{Type: "layers", Layers: []digest.Digest{idOf("a")}},
	}
	docker := daemon(t, map[string]any{"/images/x/json": object})
	for _, format := range []string{
		"", "{{.Id}}", "{{.ID}}", "{{.Config.Cmd}}", "{{json .Config.Cmd}}", "{{.Size}}", "{{range .RepoTags}}[{{.}}]{{end}}", `{{index .Config.Labels "a"}}`, "{{.RootFS.Layers}}",
		"{{join .RepoTags \",\"}}", "{{len .RootFS.Layers}} {{.Os | upper}}",
	} {
		var ours bytes.Buffer
		if err := inspect(&ours, format, []any{object}); err != nil {
			t.Errorf("%s: %v", format, err)
		}
		args := []string{"image", "inspect", "x"}
		if format != "" {
			args = append(args, "--format", format)
		}
		if diff := cmp.Diff(docker(args...), ours.String()); diff != "" {
			t.Errorf("%q -docker +stave:\n%s", format, diff)
		}
	}
	var ours bytes.Buffer
	if err := inspect(&ours, "{{.Nothing}}", []any{object}); err == nil || ours.Len() > 0 {
		t.Errorf("a field that there is not: %q, %v", ours.String(), err)
	}
}
