// SPDX-License-Identifier: Apache-2.0

package containers

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// NewID returns an id as docker gives them: 64 hexadecimal digits.
func NewID() (string, error) {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	return hex.EncodeToString(b), nil
}

// namePattern is what docker allows as a container's name.
var namePattern = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// checkName refuses names that docker refuses, and those that could be taken for an id.
func checkName(name string) error {
	if !namePattern.MatchString(name) || len(name) > 255 {
		return fmt.Errorf("--name %q: two or more of the letters a-z, A-Z, 0-9, _, . and -, the first a letter or a digit", name)
	}
	return nil
}

// newName makes a name up that nobody has.
func newName(taken func(string) bool) (string, error) {
	const (
		words = "amber ashen beechen bold brisk calm cedar clear coopered curved deft dry even fine firm hale hooped keen light long maple " +
			"mellow neat oaken old plain proud quick quiet round sound steady still straight stout sturdy tight true warm young"
		things = "adze barrel bench brim bucket bung butt cask chime churn cooper crate croze drum firkin flag gauge groove hogshead " +
			"hoop jointer keg kilderkin mallet pail pin pipe plane puncheon quarter rundlet shaving spigot spile tap tierce trestle truss tub vat"
	)
	for range 20 {
		first, err := pick(words)
		if err != nil {
			return "", err
		}
		second, err := pick(things)
		if err != nil {
			return "", err
		}
		if name := first + "_" + second; !taken(name) {
			return name, nil
		}
	}
	id, err := NewID()
	return "stave_" + id[:12], err
}

// pick chooses a word.
func pick(words string) (string, error) {
	list := strings.Fields(words)
	n, err := rand.Int(rand.Reader, big.NewInt(int64(len(list))))
	if err != nil {
		return "", err
	}
	return list[n.Int64()], nil
}
