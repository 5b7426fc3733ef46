// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/container"
	"stave/internal/witness"
)

// keyPaths lists the keys of a JSON value, each with those above it, and the values of its numbers, texts and nulls. An
// entry of a list counts as if it were called []; then its last value is listed.
func keyPaths(above string, value any, into map[string]string) {
	switch v := value.(type) {
	case map[string]any:
		into[above] = "{}"
		for key, below := range v {
			keyPaths(above+"."+key, below, into)
		}
	case []any:
		into[above] = "[]"
		for _, below := range v {
			keyPaths(above+"[]", below, into)
		}
	default:
		into[above] = fmt.Sprint(v)
	}
}

// keysOf is keyPaths of a text.
func keysOf(t *testing.T, text string) map[string]string {
	t.Helper()
	var value any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber() // limits are larger than what a float has
	if err := d.Decode(&value); err != nil {
		t.Fatalf("%v: %q", err, text)
	}
	into := map[string]string{}
	keyPaths("", value, into)
	return into
}

// underRunc runs a bundle with runc too, in the background, and returns how to ask it and the container's id.
func underRunc(t *testing.T, bundle string) (ask func(args ...string) result, id string) {
	t.Helper()
	state, id := folder(t), "stave-test-runc-"+bundle[strings.LastIndexByte(bundle, '/')+1:]
	ask = func(args ...string) result {
		return run(t, exec.Command("runc", append([]string{"--root", state}, args...)...))
	}
	c := exec.Command("runc", "--root", state, "run", "--detach", "--bundle", bundle, id) // without pipes: the container would hold them
	if err := c.Run(); err != nil {
		t.Fatalf("runc run: %v", err)
	}
	t.Cleanup(func() {
		if got := ask("delete", "--force", id); got.code != 0 {
			t.Error(got.err)
		}
	})
	return ask, id
}

// counted are the keys of what depends on what a container happened to do: one that is 0 is not printed.
func counted(key string) bool {
	for _, part := range []string{
		".blkio", ".memory.cache", ".memory.raw.", ".throttling.", ".usage", ".max", ".pids.current", ".hugetlb.",
	} {
		if strings.Contains(key, part) {
			return true
		}
	}
	return false
}

// TestEventsAreRuncs compares what events --stats prints of a container with what runc prints of the same bundle, key by key: the
// tree of keys, and the values that are limits or settings.
func TestEventsAreRuncs(t *testing.T) {
	witness.Need(t, "root", "command:runc", "command:busybox")
	limits := []change{limited, func(s *specs.Spec) {
		s.Linux.Resources.CPU.Cpus, s.Linux.Resources.CPU.Mems = "0", "0"
		s.Version = "1.0.2"
	}}
	k := sleeper(t, limits...)
	bundle := newBundle(t, "exec sleep 1000", append(limits, func(s *specs.Spec) { s.Linux.CgroupsPath = "/stave-test-runc" })...)
	ask, id := underRunc(t, bundle)
	got := ask("events", "--stats", id)
	if got.code != 0 {
		t.Fatal(got.err)
	}
	theirs, ours := keysOf(t, got.out), keysOf(t, must(t, "events", "--stats", k.id))
	if theirs[".id"] != id || ours[".id"] != k.id {
		t.Errorf("ids %q and %q", theirs[".id"], ours[".id"])
	}
	for key, value := range theirs {
		our, has := ours[key]
		isLimit := strings.HasSuffix(key, "limit") || strings.Contains(key, ".cpuset.") || strings.HasPrefix(value, "{") || value == "<nil>"
		switch {
		case !has && !counted(key):
			t.Errorf("runc has the key %s with %s, stave-oci has not", key, value)
		case has && isLimit && !strings.Contains(key, "[]") && our != value:
			t.Errorf("%s is %s, runc has %s", key, our, value)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(ours)) {
		if _, has := theirs[key]; !has && !counted(key) {
			t.Errorf("runc has not the key %s", key)
		}
	}
	for _, key := range []string{".data.cpu.usage.total", ".data.memory.usage.usage", ".data.memory.usage.limit", ".data.pids.current", ".data.pids.limit"} {
		if ours[key] == "" || ours[key] == "0" {
			t.Errorf("%s is %q", key, ours[key])
		}
	}
}

// follow runs events until it ends by itself, and returns its lines.
func follow(t *testing.T, id string, each func(line string)) []container.Event {
	t.Helper()
	c := exec.Command(staveOCI, "--root", root, "events", "--interval", "20ms", id)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	c.Stderr = &errs
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill() })
	var all []container.Event
	for lines := bufio.NewScanner(out); lines.Scan(); {
		var e container.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Fatalf("%v: %q", err, lines.Text())
		}
		all = append(all, e)
		each(lines.Text())
	}
	if err := c.Wait(); err != nil {
		t.Errorf("events: %v: %s", err, errs.String())
	}
	return all
}

// TestEventsEnd reads statistics of a container until it is killed: then events ends by itself.
func TestEventsEnd(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	k := sleeper(t)
	n := 0
	all := follow(t, k.id, func(string) {
		if n++; n == 3 {
			must(t, "kill", k.id, "KILL")
		}
	})
	if len(all) < 3 {
		t.Errorf("%d lines", len(all))
	}
	for _, e := range all {
		if e.Type != "stats" || e.ID != k.id || e.Data == nil || e.Data.Pids.Current != 1 && e.Data.Pids.Current != 0 {
			t.Errorf("%+v", e)
		}
	}
}

// TestEventsTellOfMemory lets processes of a container be killed for want of memory, in the end the first one: each is told
// of once, in runc's form.
func TestEventsTellOfMemory(t *testing.T) {
	witness.Need(t, "root", "command:busybox")
	script, least := "until [ -e /data/go ]; do sleep 0.05; done; ", 1
	if !testing.Short() { // on an emulated machine the kernel writes its report for half a minute
		script, least = script+"head -c 200000000 /dev/zero | tail; head -c 200000000 /dev/zero | tail; ", 2 // tail keeps what may be its last line; the second time the kernel may choose the shell
	}
	dir := newBundle(t, script+"exec tail /dev/zero", limited, writable, func(s *specs.Spec) {
		s.Linux.Resources.Memory = &specs.LinuxMemory{Limit: new(int64(16 << 20)), Swap: new(int64(16 << 20))}
	})
	k := create(t, dir)
	must(t, "start", k.id)
	n, told := 0, 0
	all := follow(t, k.id, func(line string) {
		if n++; n == 1 {
			put(t, dir+"/rootfs/data/go", "", 0o644)
		}
		if strings.HasPrefix(line, `{"type":"oom"`) {
			told++
			if want := fmt.Sprintf(`{"type":"oom","id":%q}`, k.id); line != want {
				t.Errorf("%s, want %s", line, want)
			}
		}
	})
	k.until(t, "stopped")
	count := groupFile(t, k.id, "memory", map[int]string{1: "memory.oom_control", 2: "memory.events"})
	kills := regexp.MustCompile(`\boom_kill (\d+)`).FindStringSubmatch(count)
	if kills == nil || kills[1] != fmt.Sprint(told) || told < least {
		t.Errorf("%d are told of, the kernel says %q", told, count)
	}
	if last := all[len(all)-1]; last.ID != k.id || told == len(all) {
		t.Errorf("the last of %d events is %+v", len(all), last)
	}
}
