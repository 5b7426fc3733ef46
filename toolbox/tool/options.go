// SPDX-License-Identifier: Apache-2.0

package tool

import (
	"fmt"
	"strconv"
	"strings"
)

// Options is a command line after Parse: the options that were given and the operands.
type Options struct {
	values map[byte][]string
	Args   []string
}

// Parse reads options as POSIX says (Base Definitions, 12.2): "-la" is "-l -a", the value of an option is the rest of
// the word or the next one, "--" ends the options.
//
// spec lists the letters, each with a colon after it if it takes a value. A leading "+" ends the options at the first
// operand, for tools whose operands are another command; else options may follow operands, as GNU tools allow. Each of
// long is "name=l", a long name for the letter l, whose value, if it takes one, is given as --name=value or --name value.
func Parse(args []string, spec string, long ...string) (*Options, error) {
	spec, inOrder := strings.CutPrefix(spec, "+")
	o := &Options{values: map[byte][]string{}}
	for len(args) > 0 {
		word := args[0]
		switch {
		case word == "--":
			o.Args = append(o.Args, args[1:]...)
			return o, nil
		case len(word) < 2 || word[0] != '-':
			if inOrder {
				o.Args = append(o.Args, args...)
				return o, nil
			}
			o.Args = append(o.Args, word)
			args = args[1:]
		default:
			rest, err := o.option(args, spec, long)
			if err != nil {
				return nil, err
			}
			args = rest
		}
	}
	return o, nil
}

// option reads the option word args[0] and gives the arguments after it.
func (o *Options) option(args []string, spec string, long []string) ([]string, error) {
	word, args := args[0], args[1:]
	if name, ok := strings.CutPrefix(word, "--"); ok {
		return o.longOption(name, args, spec, long)
	}
	for i := 1; i < len(word); i++ {
		at := strings.IndexByte(spec, word[i])
		if at < 0 || word[i] == ':' {
			return nil, fmt.Errorf("unknown option -%c", word[i])
		}
		if !takesValue(spec, at) {
			o.values[word[i]] = append(o.values[word[i]], "")
			continue
		}
		value := word[i+1:]
		if value == "" {
			if len(args) == 0 {
				return nil, fmt.Errorf("option -%c needs a value", word[i])
			}
			value, args = args[0], args[1:]
		}
		o.values[word[i]] = append(o.values[word[i]], value)
		break
	}
	return args, nil
}

// longOption reads --name or --name=value and gives the arguments after it.
func (o *Options) longOption(name string, args []string, spec string, long []string) ([]string, error) {
	name, value, hasValue := strings.Cut(name, "=")
	for _, l := range long {
		known, letter, _ := strings.Cut(l, "=")
		if known != name {
			continue
		}
		takes := takesValue(spec, strings.Index(spec, letter))
		switch {
		case hasValue && !takes:
			return nil, fmt.Errorf("option --%s takes no value", name)
		case takes && !hasValue && len(args) == 0:
			return nil, fmt.Errorf("option --%s needs a value", name)
		case takes && !hasValue:
			value, args = args[0], args[1:]
		}
		o.values[letter[0]] = append(o.values[letter[0]], value)
		return args, nil
	}
	return nil, fmt.Errorf("unknown option --%s", name)
}

// takesValue reports whether the letter at this place of the spec takes a value.
func takesValue(spec string, at int) bool {
	return at >= 0 && at+1 < len(spec) && spec[at+1] == ':'
}

// Has reports whether any of the letters was given.
func (o *Options) Has(letters string) bool {
	for i := range len(letters) {
		if o.values[letters[i]] != nil {
			return true
		}
	}
	return false
}

// Values is every value given for the letter, in order.
func (o *Options) Values(letter byte) []string { return o.values[letter] }

// Value is the last value given for the letter, or otherwise.
func (o *Options) Value(letter byte, otherwise string) string {
	if all := o.values[letter]; len(all) > 0 {
		return all[len(all)-1]
	}
	return otherwise
}

// Int is the number given for the letter, or otherwise.
func (o *Options) Int(letter byte, otherwise int) (int, error) {
	text := o.Value(letter, "")
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("option -%c: %q is not a number", letter, text)
	}
	return n, nil
}
