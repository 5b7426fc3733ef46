// SPDX-License-Identifier: Apache-2.0

package remote

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestParseChallenges(t *testing.T) {
	for name, c := range map[string]struct {
		values []string
		want   []challenge
	}{
		"bearer": {
			[]string{`Bearer realm="https://auth.example/token",service="registry.example",scope="repository:app:pull,push"`},
			[]challenge{{"bearer", map[string]string{"realm": "https://auth.example/token", "service": "registry.example", "scope": "repository:app:pull,push"}}},
		},
		"basic":           {[]string{`Basic realm="x"`}, []challenge{{"basic", map[string]string{"realm": "x"}}}},
		"no parameters":   {[]string{`Negotiate`}, []challenge{{"negotiate", map[string]string{}}}},
		"blanks and case": {[]string{` BEARER  Realm = "r" , service=s `}, []challenge{{"bearer", map[string]string{"realm": "r", "service": "s"}}}},
		"escapes":         {[]string{`Basic realm="a\"b\\c"`}, []challenge{{"basic", map[string]string{"realm": `a"b\c`}}}},
		"two in one":      {[]string{`Basic realm="a", Bearer realm="b"`}, []challenge{{"basic", map[string]string{"realm": "a"}}, {"bearer", map[string]string{"realm": "b"}}}},
		"two values":      {[]string{`Basic realm="a"`, `Bearer realm="b"`}, []challenge{{"basic", map[string]string{"realm": "a"}}, {"bearer", map[string]string{"realm": "b"}}}},
		"the first counts": {
			[]string{`Bearer realm="a",realm="b"`},
			[]challenge{{"bearer", map[string]string{"realm": "a"}}},
		},
		"open quote": {[]string{`Bearer realm="a`}, nil},
		"nothing":    {[]string{``, ` , `}, nil},
		"too long":   {[]string{`Bearer realm="` + strings.Repeat("a", maxChallenge) + `"`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, parseChallenges(c.values), cmp.AllowUnexported(challenge{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParseChallenges(f *testing.F) {
	for _, seed := range []string{`Bearer realm="https://a/b",service="c",scope="d e"`, `Basic realm=x, Bearer realm="\"`, `a b=c,d`, `,,,`, "Bearer \x00=\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, c := range parseChallenges([]string{value}) {
			if c.scheme == "" || c.scheme != strings.ToLower(c.scheme) {
				t.Errorf("scheme %q", c.scheme)
			}
			for name, text := range c.parameters {
				if name == "" || len(text) > len(value) {
					t.Errorf("parameter %q=%q of %q", name, text, value)
				}
			}
		}
	})
}

func TestParseLink(t *testing.T) {
	for name, c := range map[string]struct {
		values []string
		want   string
		found  bool
	}{
		"next":            {[]string{`</v2/_catalog?last=a&n=2>; rel="next"`}, "/v2/_catalog?last=a&n=2", true},
		"without quotes":  {[]string{`</x>; rel=next`}, "/x", true},
		"several":         {[]string{`</a>; rel="prev", </b>; title="x"; rel="next"`}, "/b", true},
		"second value":    {[]string{`</a>; rel="prev"`, `</b>;rel="next"`}, "/b", true},
		"two relations":   {[]string{`</a>; rel="last next"`}, "/a", true},
		"comma in target": {[]string{`</a?b=1,2>; rel="next"`}, "/a?b=1,2", true},
		"previous only":   {[]string{`</a>; rel="prev"`}, "", false},
		"no relation":     {[]string{`</a>`}, "", false},
		"open":            {[]string{`</a; rel="next"`}, "", false},
		"nothing":         {nil, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, found := parseLink(c.values)
			if got != c.want || found != c.found {
				t.Errorf("got %q, %v; want %q, %v", got, found, c.want, c.found)
			}
		})
	}
}

func FuzzParseLink(f *testing.F) {
	for _, seed := range []string{`</v2/_catalog?last=a>; rel="next"`, `<a>;rel=prev,<b>;rel=next`, `<<>>;,;rel=`, `<>;rel=next`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if target, found := parseLink([]string{value}); found && !strings.Contains(value, target) || !found && target != "" {
			t.Errorf("%q: %q, %v", value, target, found)
		}
	})
}

func TestParseContentRange(t *testing.T) {
	for text, want := range map[string][3]int64{
		"bytes 0-9/10":   {0, 9, 10},
		"bytes 5-5/6":    {5, 5, 6},
		"Bytes 42-99/*":  {42, 99, -1},
		" bytes  1-2/3 ": {1, 2, 3},
	} {
		first, last, total, ok := parseContentRange(text)
		if got := [3]int64{first, last, total}; !ok || got != want {
			t.Errorf("%q: got %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "bytes", "bytes */10", "bytes 0-9", "bytes 9-0/10", "bytes 0-10/10", "bytes -1-2/3", "items 0-9/10", "bytes 0-99999999999999999999/*", "bytes +0-9/10"} {
		if _, _, _, ok := parseContentRange(text); ok {
			t.Errorf("%q is taken", text)
		}
	}
}

func FuzzParseContentRange(f *testing.F) {
	for _, seed := range []string{"bytes 0-9/10", "bytes 0-9/*", "bytes 9223372036854775807-9223372036854775807/*", "bytes */3", "0-1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		first, last, total, ok := parseContentRange(text)
		if ok && (first < 0 || last < first || total != -1 && last >= total) {
			t.Errorf("%q: %d-%d/%d", text, first, last, total)
		}
	})
}

func TestParseDetails(t *testing.T) {
	for text, want := range map[string][]Detail{
		`{"errors":[{"code":"DENIED","message":"no"}]}`:                     {{"DENIED", "no"}},
		`{"errors":[{"code":"A","message":"a\u001b[31mb\nc","detail":{}}]}`: {{"A", "a\uFFFD[31mb c"}},
		`{"errors":[{"code":"A","message":{"not":"text"}}]}`:                {{"A", ""}},
		`{"errors":[{"code":"1"},{"code":"2"},{"code":"3"},{"code":"4"}]}`:  {{"1", ""}, {"2", ""}, {"3", ""}},
		`{"details":"incorrect username or password"}`:                      {{"", "incorrect username or password"}},
		`{"errors":[],"details":["x"]}`:                                     nil,
		`<html>`:                                                            nil,
		``:                                                                  nil,
		`{"errors":[{"code":"A","message":"` + strings.Repeat("x", 400) + `"}]}`: {{"A", strings.Repeat("x", 300) + "…"}},
	} {
		if diff := cmp.Diff(want, parseDetails([]byte(text))); diff != "" {
			t.Errorf("%.50s: %s", text, diff)
		}
	}
}

func FuzzErrorBody(f *testing.F) {
	for _, seed := range []string{`{"errors":[{"code":"DENIED","message":"no"}]}`, `{"details":"x"}`, `{"errors":null}`, `[]`, "{\"errors\":[{\"code\":\"\\u202e\"}]}"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		e := &Error{host: "h", Status: 500, Details: parseDetails(text), login: "h"}
		words := e.Error()
		if len(words) > 2000 || strings.ContainsFunc(words, func(r rune) bool { return !unicode.IsPrint(r) && r != '\uFFFD' }) {
			t.Errorf("%q", words)
		}
	})
}

func TestParseToken(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for text, want := range map[string]token{
		`{"token":"a"}`:                                            {value: "a", expires: now.Add(leastLife - early)},
		`{"access_token":"b","expires_in":300}`:                    {value: "b", expires: now.Add(300*time.Second - early)},
		`{"token":"a","access_token":"b","refresh_token":"c"}`:     {value: "a", refresh: "c", expires: now.Add(leastLife - early)},
		`{"token":"a","expires_in":1e300}`:                         {value: "a", expires: now.Add(longestLife - early)},
		`{"token":"a","expires_in":-5}`:                            {value: "a", expires: now.Add(leastLife - early)},
		`{"token":"a","issued_at":"9999-01-01","expires_in":99.5}`: {value: "a", expires: now.Add(99*time.Second - early)},
	} {
		got, err := parseToken([]byte(text), now)
		if err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{``, `[]`, `{}`, `{"token":""}`, `{"token":"a b"}`, `{"token":"a\r\nX: y"}`, `{"token":"` + strings.Repeat("a", maxToken+1) + `"}`, `{"token":1}`} {
		if _, err := parseToken([]byte(text), now); err == nil {
			t.Errorf("%.50s is taken", text)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	for _, seed := range []string{`{"token":"a","expires_in":300}`, `{"access_token":"b"}`, `{"token":"\u0000"}`, `{"expires_in":1e999}`} {
		f.Add([]byte(seed))
	}
	now := time.Unix(1_000_000, 0)
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parseToken(text, now)
		life := got.expires.Sub(now)
		if err == nil && (got.value == "" || life <= 0 || life > longestLife) {
			t.Errorf("%q: %v", text, got)
		}
		if request, err2 := http.NewRequest("GET", "http://x/", nil); err == nil && err2 == nil {
			request.Header.Set("Authorization", got.value)
			if err := request.Write(discard{}); err != nil {
				t.Errorf("%q can't be sent: %v", got.value, err)
			}
		}
	})
}

// discard is a writer that keeps nothing.
type discard struct{}

// Write takes all.
func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"0": 0, "7": 7 * time.Second, " 120 ": 2 * time.Minute,
		"Fri, 02 Jan 2026 03:04:35 GMT": 30 * time.Second,
		"Fri, 02 Jan 2026 03:00:00 GMT": 0,
	} {
		if got, ok := retryAfter(text, now); !ok || got != want {
			t.Errorf("%q: got %v, %v", text, got, ok)
		}
	}
	for _, text := range []string{"", "-1", "soon", "1.5", "99999999999999999999"} {
		if _, ok := retryAfter(text, now); ok {
			t.Errorf("%q is taken", text)
		}
	}
}

func TestParseMirror(t *testing.T) {
	for text, want := range map[string]endpoint{
		"mirror.example":              {registry: "mirror.example", host: "mirror.example", mirror: true},
		"https://mirror.example/":     {registry: "mirror.example", host: "mirror.example", scheme: "https", mirror: true},
		"http://10.0.0.1:5000/hub/x/": {registry: "10.0.0.1:5000", host: "10.0.0.1:5000", scheme: "http", prefix: "hub/x", mirror: true},
		"[::1]:5000":                  {registry: "[::1]:5000", host: "[::1]:5000", mirror: true},
	} {
		got, err := parseMirror(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "ftp://x", "https://", "user:secret@x", "a b"} {
		if got, err := parseMirror(text); err == nil {
			t.Errorf("%q is taken: %+v", text, got)
		}
	}
}

func TestTypeOf(t *testing.T) {
	const oci = "application/vnd.oci.image.manifest.v1+json"
	for name, c := range map[string]struct{ header, text, want string }{
		"by itself":      {"text/plain", `{"mediaType":"` + oci + `"}`, oci},
		"by the header":  {oci, `{"schemaVersion":2}`, oci},
		"the text rules": {"application/vnd.oci.image.index.v1+json", `{"mediaType":"` + oci + `"}`, oci},
		"unknown":        {"text/html", `{}`, ""},
		"schema 1":       {"application/vnd.docker.distribution.manifest.v1+prettyjws", `{"schemaVersion":1}`, ""},
		"no JSON":        {oci, `<html>`, ""},
		"too deep":       {oci, strings.Repeat("[", 20000), ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := typeOf(c.header, []byte(c.text))
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
}

func FuzzParseReferrer(f *testing.F) {
	text, _ := json.Marshal(map[string]any{"subject": map[string]any{"digest": "sha256:" + strings.Repeat("a", 64)}})
	f.Add(text)
	f.Add([]byte(`{"subject":{"digest":"x"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		if subject, _, ok := parseReferrer(manifest{text: text}); ok && subject.Validate() != nil {
			t.Errorf("%q: %q", text, subject)
		}
	})
}
