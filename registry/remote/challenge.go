// SPDX-License-Identifier: Apache-2.0

package remote

import "strings"

// challenge is what a server wants to see before it answers (RFC 9110, 11.6.1):
//
//	WWW-Authenticate: Bearer realm="https://auth.example/token",service="registry.example",scope="repository:app:pull"
//	                  scheme parameters …
type challenge struct {
	scheme     string // in lower case
	parameters map[string]string
}

// maxChallenge is how many bytes of challenges are looked at.
const maxChallenge = 16 << 10

// parseChallenges reads the values of WWW-Authenticate, each of which may have several challenges. It ends at what it
// doesn't understand.
func parseChallenges(values []string) []challenge {
	var all []challenge
	for _, value := range values {
		if len(value) > maxChallenge {
			continue
		}
		rest := strings.TrimLeft(value, " \t,")
		for rest != "" {
			var next challenge
			var ok bool
			if next, rest, ok = parseChallenge(rest); !ok {
				break
			}
			all = append(all, next)
		}
	}
	return all
}

// parseChallenge reads one challenge off the front of a text.
func parseChallenge(text string) (found challenge, rest string, ok bool) {
	scheme, rest := cutToken(text)
	if scheme == "" {
		return challenge{}, "", false
	}
	found = challenge{scheme: strings.ToLower(scheme), parameters: map[string]string{}}
	rest = strings.TrimLeft(rest, " \t")
	for rest != "" {
		name, after := cutToken(rest)
		after, isParameter := strings.CutPrefix(strings.TrimLeft(after, " \t"), "=")
		if name == "" || !isParameter {
			return found, rest, name != "" // the next challenge begins, or something unknown
		}
		value, after, ok := cutValue(strings.TrimLeft(after, " \t"))
		if !ok {
			return challenge{}, "", false
		}
		if _, twice := found.parameters[strings.ToLower(name)]; !twice {
			found.parameters[strings.ToLower(name)] = value
		}
		rest = strings.TrimLeft(after, " \t,")
	}
	return found, "", true
}

// cutValue cuts the value of a parameter off the front of a text: a token, or a string in quotes.
func cutValue(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		value, rest = cutToken(text)
		return value, rest, true
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}

// cutToken cuts a token off the front of a text (RFC 9110, 5.6.2). Token services write addresses without quotes, too.
func cutToken(text string) (token, rest string) {
	end := strings.IndexFunc(text, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),;<=>?@[\]{}`, r)
	})
	if end < 0 {
		end = len(text)
	}
	return text[:end], text[end:]
}
