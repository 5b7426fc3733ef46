// SPDX-License-Identifier: Apache-2.0

package images

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Change applies instructions of a Dockerfile to the settings, in their order, as commit and import take them: CMD, ENTRYPOINT, ENV,
// EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR. As in a build, an entry point takes the command away that was meant for the
// old one, unless an instruction before it has set that.
func (s *Settings) Change(instructions ...string) error {
	commanded := false
	for _, instruction := range instructions {
		word, _, _ := strings.Cut(strings.TrimSpace(instruction), " ")
		if strings.EqualFold(word, "ENTRYPOINT") && !commanded {
			s.Cmd = nil
		}
		commanded = commanded || strings.EqualFold(word, "CMD")
		if err := s.change(instruction); err != nil {
			return err
		}
	}
	return nil
}

// change applies one instruction.
func (s *Settings) change(instruction string) error {
	word, rest, _ := strings.Cut(strings.TrimSpace(instruction), " ")
	word, rest = strings.ToUpper(word), strings.TrimSpace(rest)
	apply, ok := map[string]func(string) error{
		"CMD": s.changeCmd, "ENTRYPOINT": s.changeEntrypoint, "ENV": s.changeEnv, "EXPOSE": s.changeExpose, "LABEL": s.changeLabel,
		"ONBUILD": s.changeOnBuild, "STOPSIGNAL": s.changeStopSignal, "USER": s.changeUser, "VOLUME": s.changeVolume, "WORKDIR": s.changeWorkdir,
	}[word]
	if !ok {
		return fmt.Errorf("--change %q: %s can't be changed; CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR can", instruction, word)
	}
	err := errors.New("what is to be set is missing")
	if rest != "" {
		err = apply(rest)
	}
	if err != nil {
		return fmt.Errorf("--change %q: %w", instruction, err)
	}
	return nil
}

// command reads the two forms of a command: a list in JSON, or a line for the shell.
func (s *Settings) command(text string) []string {
	var list []string
	if strings.HasPrefix(text, "[") && json.Unmarshal([]byte(text), &list) == nil {
		return list
	}
	shell := s.Shell
	if len(shell) == 0 {
		shell = []string{"/bin/sh", "-c"}
	}
	return append(slices.Clone(shell), text)
}

// changeCmd sets the command.
func (s *Settings) changeCmd(text string) error {
	s.Cmd = s.command(text)
	return nil
}

// changeEntrypoint sets the entry point.
func (s *Settings) changeEntrypoint(text string) error {
	s.Entrypoint = s.command(text)
	return nil
}

// changeEnv sets variables.
func (s *Settings) changeEnv(text string) error {
	pairs, err := assignments(text)
	if err != nil {
		return err
	}
	s.Env = slices.Clone(s.Env)
	for _, pair := range pairs {
		prefix := pair[0] + "="
		i := slices.IndexFunc(s.Env, func(old string) bool { return strings.HasPrefix(old, prefix) })
		if i < 0 {
			s.Env = append(s.Env, prefix+pair[1])
		} else {
			s.Env[i] = prefix + pair[1]
		}
	}
	return nil
}

// changeLabel sets labels.
func (s *Settings) changeLabel(text string) error {
	pairs, err := assignments(text)
	if err != nil {
		return err
	}
	s.Labels = maps.Clone(s.Labels)
	if s.Labels == nil {
		s.Labels = map[string]string{}
	}
	for _, pair := range pairs {
		s.Labels[pair[0]] = pair[1]
	}
	return nil
}

// changeExpose adds ports, such as 80, 53/udp and 8000-8010/tcp.
func (s *Settings) changeExpose(text string) error {
	s.ExposedPorts = maps.Clone(s.ExposedPorts)
	if s.ExposedPorts == nil {
		s.ExposedPorts = map[string]struct{}{}
	}
	for word := range strings.FieldsSeq(text) {
		span, protocol, found := strings.Cut(word, "/")
		if !found {
			protocol = "tcp"
		}
		first, last, found := strings.Cut(span, "-")
		if !found {
			last = first
		}
		low, err1 := strconv.ParseUint(first, 10, 16)
		high, err2 := strconv.ParseUint(last, 10, 16)
		protocol = strings.ToLower(protocol)
		if err1 != nil || err2 != nil || low == 0 || high < low || !slices.Contains([]string{"tcp", "udp", "sctp"}, protocol) {
			return fmt.Errorf("the port %q: a number from 1 to 65535 or a range of them, and /tcp, /udp or /sctp", word)
		}
		for port := low; port <= high; port++ {
			s.ExposedPorts[fmt.Sprintf("%d/%s", port, protocol)] = struct{}{}
		}
	}
	return nil
}

// changeOnBuild adds an instruction for builds on top of the image.
func (s *Settings) changeOnBuild(text string) error {
	word, _, _ := strings.Cut(text, " ")
	switch word = strings.ToUpper(word); word {
	case "ONBUILD", "FROM", "MAINTAINER":
		return fmt.Errorf("ONBUILD can't hold %s", word)
	}
	s.OnBuild = append(slices.Clone(s.OnBuild), text)
	return nil
}

// changeStopSignal sets the signal that stops a container.
func (s *Settings) changeStopSignal(text string) error {
	if strings.ContainsAny(text, " \t") {
		return fmt.Errorf("one signal, not %q", text)
	}
	s.StopSignal = text
	return nil
}

// changeUser sets the user.
func (s *Settings) changeUser(text string) error {
	if strings.ContainsAny(text, " \t") {
		return fmt.Errorf("one USER[:GROUP], not %q", text)
	}
	s.User = text
	return nil
}

// changeVolume adds volumes, a list in JSON or words.
func (s *Settings) changeVolume(text string) error {
	var list []string
	if !strings.HasPrefix(text, "[") || json.Unmarshal([]byte(text), &list) != nil {
		list = strings.Fields(text)
	}
	s.Volumes = maps.Clone(s.Volumes)
	if s.Volumes == nil {
		s.Volumes = map[string]struct{}{}
	}
	for _, volume := range list {
		if volume = strings.TrimSpace(volume); volume == "" {
			return errors.New("a volume is empty")
		}
		s.Volumes[volume] = struct{}{}
	}
	return nil
}

// changeWorkdir sets the folder that the command starts in; a relative one is taken from the one before.
func (s *Settings) changeWorkdir(text string) error {
	if !path.IsAbs(text) {
		text = path.Join("/", s.WorkingDir, text)
	}
	s.WorkingDir = path.Clean(text)
	return nil
}

// assignments reads NAME=VALUE pairs with the quotes of a Dockerfile, or the old form of one pair, NAME VALUE.
func assignments(text string) ([][2]string, error) {
	words, err := unquote(text)
	if err != nil {
		return nil, err
	}
	if len(words) > 0 && !strings.Contains(words[0], "=") {
		name, value, found := strings.Cut(text, " ")
		if !found {
			return nil, fmt.Errorf("%q: NAME=VALUE is missing its value", text)
		}
		return [][2]string{{name, strings.TrimSpace(value)}}, nil
	}
	var pairs [][2]string
	for _, word := range words {
		name, value, found := strings.Cut(word, "=")
		if !found || name == "" {
			return nil, fmt.Errorf("%q: want NAME=VALUE", word)
		}
		pairs = append(pairs, [2]string{name, value})
	}
	return pairs, nil
}

// unquote parts a text into words at blanks that are neither quoted nor behind a backslash, and takes the quotes away.
func unquote(text string) (words []string, err error) {
	var word strings.Builder
	var quote rune
	started, escaped := false, false
	for _, r := range text {
		switch {
		case escaped:
			if escaped = false; quote == '"' && !strings.ContainsRune("\"\\$", r) {
				word.WriteRune('\\') // as in a shell, it is one of the text's own
			}
			word.WriteRune(r)
		case r == '\\' && quote != '\'':
			escaped, started = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, started = r, true
		case quote == 0 && (r == ' ' || r == '\t'):
			if started {
				words = append(words, word.String())
			}
			word.Reset()
			started = false
		default:
			started = true
			word.WriteRune(r)
		}
	}
	if quote != 0 || escaped {
		return nil, fmt.Errorf("%s: a quote is not closed", text)
	}
	if started {
		words = append(words, word.String())
	}
	return words, nil
}
