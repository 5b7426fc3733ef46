// SPDX-License-Identifier: Apache-2.0

package container

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// rareMembers are the members that no reader of ours knows: encoding/json reads a configuration that has one.
func rareMembers() []string {
	return []string{
		"hooks", "scheduler", "ioPriority", "execCPUAffinity", "netDevices", "intelRdt", "memoryPolicy", "personality",
		"hugepageLimits", "network", "rdma", "weight", "leafWeight", "weightDevice", "throttleReadBpsDevice",
		"throttleWriteBpsDevice", "throttleReadIOPSDevice", "throttleWriteIOPSDevice", "kernel", "kernelTCP", "useHierarchy",
		"checkBeforeUpdate", "burst", "idle", "listenerPath", "listenerMetadata",
	}
}

// fill sets all members of a value that concern Linux, but the rare ones.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Map:
		one := reflect.New(v.Type().Elem()).Elem()
		fill(one)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(reflect.ValueOf("key"), one)
	case reflect.String:
		v.SetString("text")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Struct:
		for f, member := range v.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			platform := f.Tag.Get("platform")
			if !f.IsExported() || platform != "" && !strings.Contains(platform, "linux") || slices.Contains(rareMembers(), name) {
				continue
			}
			fill(member)
		}
	default:
		v.Set(reflect.ValueOf(7).Convert(v.Type()))
	}
}

// TestDecodeEqualsWhole reads configurations in both ways. All members that are not rare are read by our reader: so this
// fails when the specification gets a new one, which is then either read or rare.
func TestDecodeEqualsWhole(t *testing.T) {
	rootless, full := Example(), &specs.Spec{}
	Rootless(rootless, 1000, 1000)
	fill(reflect.ValueOf(full).Elem())
	rare := Example()
	rare.Linux.Personality = &specs.LinuxPersonality{Domain: "LINUX32"}
	for name, c := range map[string]struct {
		spec *specs.Spec
		rare bool
	}{
		"example": {spec: Example()}, "rootless": {spec: rootless}, "all usual members": {spec: full},
		"a rare member": {spec: rare, rare: true},
	} {
		t.Run(name, func(t *testing.T) {
			data, err := json.MarshalIndent(c.spec, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			var whole, usual specs.Spec
			if err := json.Unmarshal(data, &whole); err != nil {
				t.Fatal(err)
			}
			if got := readUsual(data, readDocument(&usual)); got == c.rare {
				t.Errorf("read as a usual configuration: %v", got)
			}
			got, err := decode(data)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(&whole, got); diff != "" {
				t.Errorf("(-whole +decode):\n%s", diff)
			}
		})
	}
}

// FuzzRead reads texts in both ways: what our reader takes, encoding/json takes and means the same.
func FuzzRead(f *testing.F) {
	full := &specs.Spec{}
	fill(reflect.ValueOf(full).Elem())
	for _, spec := range []*specs.Spec{Example(), full, rich()} {
		data, err := json.Marshal(spec)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, text := range []string{
		"", "{", "{}", " {\r\n\t} ", "{} {}", "{}\x00", "null", "[]", `{"ociVersion"}`, `{"ociVersion":"1.0.0",}`, `{,"ociVersion":"1"}`,
		`{"ociVersion":"1","ociVersion":"2"}`, `{"OCIVERSION":"1"}`, `{"ociVersion":null}`, `{"ociVersion":1}`, `{"ociVersion":"1`, `{"ociVersion":"1\`,
		`{"hostname":"a\u00e9\n\"\ud83d\ude00\/"}`, `{"hostname":"\ud800"}`, `{"hostname":"\x"}`, "{\"hostname\":\"a\nb\"}", "{\"hostname\":\"\xff\"}", "{\"hostname\":\"ä\"}",
		`{"mounts":[]}`, `{"mounts":[{}]}`, `{"mounts":[{},]}`, `{"mounts":[,{}]}`, `{"mounts":{}}`, `{"mounts":[{} {}]}`,
		`{"annotations":{}}`, `{"annotations":{"a":"1","a":"2"}}`, `{"annotations":{"a":1}}`, `{"annotations":[]}`,
		`{"root":{"readonly":true}}`, `{"root":{"readonly":truefalse}}`, `{"root":{"readonly":"true"}}`, `{"root":{"readonly":True}}`,
		`{"process":{"user":{"uid":4294967295,"gid":4294967296}}}`, `{"process":{"user":{"uid":-1}}}`, `{"process":{"user":{"uid":1.0}}}`, `{"process":{"user":{"uid":1e3}}}`,
		`{"process":{"user":{"uid":01}}}`, `{"process":{"user":{"uid":-0}}}`, `{"process":{"user":{"uid":+1}}}`, `{"process":{"user":{"uid":}}}`, `{"process":{"user":{"uid":"1"}}}`,
		`{"process":{"rlimits":[{"hard":18446744073709551615,"soft":18446744073709551616}]}}`, `{"process":{"rlimits":[{"hard":-1}]}}`,
		`{"linux":{"devices":[{"major":-9223372036854775808,"minor":9223372036854775808}]}}`, `{"linux":{"devices":[{"minor":18446744073709551615}]}}`,
		`{"process":{"oomScoreAdj":-1000}}`, `{"linux":{"timeOffsets":{"monotonic":{"secs":-1,"nanosecs":5}}}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var ours, theirs specs.Spec
		if !readUsual(data, readDocument(&ours)) {
			return
		}
		if err := json.Unmarshal(data, &theirs); err != nil {
			t.Fatalf("read, but encoding/json says: %v", err)
		}
		if diff := cmp.Diff(&theirs, &ours); diff != "" {
			t.Errorf("(-encoding/json +ours):\n%s", diff)
		}
	})
}
