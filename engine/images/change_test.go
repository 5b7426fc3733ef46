// SPDX-License-Identifier: Apache-2.0

package images

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestChange applies instructions to settings.
func TestChange(t *testing.T) {
	base := Settings{ImageConfig: ocispec.ImageConfig{
		Env: []string{"A=1", "B=2"}, Entrypoint: []string{"/entry"}, Cmd: []string{"old"}, WorkingDir: "/srv", Labels: map[string]string{"a": "b"},
	}}
	for name, test := range map[string]struct {
		do   []string
		want func(*Settings)
	}{
		"CMD, list":          {[]string{`CMD ["a","b c"]`}, func(s *Settings) { s.Cmd = []string{"a", "b c"} }},
		"CMD, shell":         {[]string{`cmd a "b c"`}, func(s *Settings) { s.Cmd = []string{"/bin/sh", "-c", `a "b c"`} }},
		"CMD, bad list":      {[]string{`CMD [a]`}, func(s *Settings) { s.Cmd = []string{"/bin/sh", "-c", "[a]"} }},
		"ENTRYPOINT":         {[]string{`ENTRYPOINT ["/x"]`}, func(s *Settings) { s.Entrypoint, s.Cmd = []string{"/x"}, nil }},
		"CMD and ENTRYPOINT": {[]string{`CMD ["c"]`, `ENTRYPOINT ["/x"]`}, func(s *Settings) { s.Entrypoint, s.Cmd = []string{"/x"}, []string{"c"} }},
		"ENV":                {[]string{`ENV A=9 C="x y" D=p\ q E='$HOME "'`}, func(s *Settings) { s.Env = []string{"A=9", "B=2", "C=x y", "D=p q", `E=$HOME "`} }},
		"ENV, old form":      {[]string{`ENV C x  y`}, func(s *Settings) { s.Env = append(s.Env, "C=x  y") }},
		"ENV, escapes":       {[]string{`ENV C="a\"b\n"`}, func(s *Settings) { s.Env = append(s.Env, `C=a"b\n`) }},
		"ENV, empty":         {[]string{`ENV C=`}, func(s *Settings) { s.Env = append(s.Env, "C=") }},
		"EXPOSE":             {[]string{"EXPOSE 80 53/UDP 7-9"}, func(s *Settings) { s.ExposedPorts = set("80/tcp", "53/udp", "7/tcp", "8/tcp", "9/tcp") }},
		"LABEL":              {[]string{`LABEL a=c "x y"=z`}, func(s *Settings) { s.Labels = map[string]string{"a": "c", "x y": "z"} }},
		"ONBUILD":            {[]string{"ONBUILD RUN make"}, func(s *Settings) { s.OnBuild = []string{"RUN make"} }},
		"STOPSIGNAL":         {[]string{"STOPSIGNAL SIGQUIT"}, func(s *Settings) { s.StopSignal = "SIGQUIT" }},
		"USER":               {[]string{"USER 1:2"}, func(s *Settings) { s.User = "1:2" }},
		"VOLUME, words":      {[]string{"VOLUME /a /b"}, func(s *Settings) { s.Volumes = set("/a", "/b") }},
		"VOLUME, list":       {[]string{`VOLUME ["/a b"]`}, func(s *Settings) { s.Volumes = set("/a b") }},
		"WORKDIR":            {[]string{"WORKDIR /x/", "WORKDIR y"}, func(s *Settings) { s.WorkingDir = "/x/y" }},
		"WORKDIR, relative":  {[]string{"WORKDIR ../y"}, func(s *Settings) { s.WorkingDir = "/y" }},
	} {
		want, got := clone(base), clone(base)
		test.want(&want)
		if err := got.Change(test.do...); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", name, diff)
		}
	}
	for _, bad := range []string{
		"", "CMD", "RUN x", "FROM x", "ENV", "ENV A", "ENV =x", `ENV A="x`, `ENV A=x\`, "ENV A=1 B", "EXPOSE x", "EXPOSE 0", "EXPOSE 70000", "EXPOSE 9-7",
		"EXPOSE 80/icmp", "ONBUILD ONBUILD RUN x", "ONBUILD FROM x", "USER a b", `VOLUME [""]`, "LABEL a", "STOPSIGNAL a b",
	} {
		s := clone(base)
		if err := s.Change(bad); err == nil {
			t.Errorf("%q was taken: %+v", bad, s)
		}
	}
}

// set is a set of texts as configurations have them.
func set(keys ...string) map[string]struct{} {
	m := map[string]struct{}{}
	for _, key := range keys {
		m[key] = struct{}{}
	}
	return m
}

// clone copies settings with what a change must not touch in place.
func clone(s Settings) Settings {
	s.Env = append([]string(nil), s.Env...)
	return s
}

// TestChangeLeavesTheBase looks whether the settings that another image shares stay as they are.
func TestChangeLeavesTheBase(t *testing.T) {
	base := Settings{ImageConfig: ocispec.ImageConfig{
		Env: append(make([]string, 0, 9), "A=1"), Labels: map[string]string{"a": "b"}, Volumes: set("/v"), ExposedPorts: set("1/tcp"),
	}, OnBuild: append(make([]string, 0, 9), "RUN a")}
	got := base
	if err := got.Change("ENV A=2", "LABEL a=c", "VOLUME /w", "EXPOSE 2", "ONBUILD RUN b"); err != nil {
		t.Fatal(err)
	}
	if base.Env[0] != "A=1" || base.Labels["a"] != "b" || len(base.Volumes) != 1 || len(base.ExposedPorts) != 1 {
		t.Errorf("the base has become %+v", base)
	}
}

// FuzzChange looks for instructions that crash or hang.
func FuzzChange(f *testing.F) {
	for _, seed := range []string{`CMD ["a"]`, `ENV A="b\"" C=d`, "EXPOSE 1-65535/udp", "VOLUME [\"/a\"]", "WORKDIR ../..", "ONBUILD x", `LABEL "a b"='c'`, "ENV \\"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, instruction string) {
		var s Settings
		if s.Change(instruction) != nil {
			return
		}
		if s.WorkingDir != "" && s.WorkingDir[0] != '/' {
			t.Errorf("%q makes the folder %q", instruction, s.WorkingDir)
		}
		if len(s.ExposedPorts) > 65535*3 {
			t.Errorf("%q exposes %d ports", instruction, len(s.ExposedPorts))
		}
	})
}

// FuzzConfig looks for configurations that crash what reads them.
func FuzzConfig(f *testing.F) {
	f.Add([]byte(`{"created":"2026-01-01T00:00:00Z","architecture":"amd64","os":"linux","config":{"Env":["A=b"],"Healthcheck":{"Test":["CMD","x"],"Interval":5}},`+
		`"rootfs":{"type":"layers","diff_ids":["`+id("1").String()+`"]},"history":[{"created_by":"x"},{"empty_layer":true}]}`), 1)
	f.Add([]byte(`{}`), 0)
	f.Add([]byte(`{"rootfs":{"diff_ids":["../.."]}}`), 1)
	f.Add([]byte(`null`), 0)
	f.Fuzz(func(t *testing.T, data []byte, layers int) {
		c, err := parseConfig(data, layers)
		if err != nil {
			return
		}
		i := &Image{Config: c, Layers: make([]ocispec.Descriptor, layers)}
		if len(i.Chain()) != layers {
			t.Errorf("%d layers have %d chain IDs", layers, len(i.Chain()))
		}
		(&Images{}).History(t.Context(), &Image{Config: &Config{Image: ocispec.Image{History: c.History}}})
	})
}
