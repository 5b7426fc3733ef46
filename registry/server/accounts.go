// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// Accounts are the names and passwords of an htpasswd file, as "htpasswd -B" writes it. The file is read again when it has changed.
type Accounts struct {
	file    string
	problem func(error)
	slots   chan struct{} // as many passwords are checked at once: bcrypt takes all of a processor
	key     []byte

	lock    sync.Mutex
	changed time.Time // the file's time of change when it was read
	size    int64
	hashes  map[string][]byte
	right   map[string][]byte // by name: a keyed hash of the password that was right last time, since bcrypt is slow on purpose
}

// OpenAccounts reads an htpasswd file. Only bcrypt is accepted: the other forms can be broken. Problem is told when the file,
// having changed, can't be read; the accounts stay as they were then.
func OpenAccounts(file string, problem func(error)) (*Accounts, error) {
	a := &Accounts{file: file, problem: problem, slots: make(chan struct{}, runtime.GOMAXPROCS(0)), key: make([]byte, 32)}
	rand.Read(a.key) // it never fails
	a.lock.Lock()
	defer a.lock.Unlock()
	return a, a.read()
}

// read reads the file. The caller holds the lock.
func (a *Accounts) read() error {
	info, err := os.Stat(a.file)
	if err != nil {
		return err
	}
	a.changed, a.size = info.ModTime(), info.Size()
	text, err := os.ReadFile(a.file)
	if err != nil {
		return err
	}
	hashes, err := parseAccounts(text)
	if err != nil {
		return fmt.Errorf("%s: %w", a.file, err)
	}
	a.hashes, a.right = hashes, map[string][]byte{}
	return nil
}

// parseAccounts reads lines such as
//
//	bob:$2y$05$sLMjTVDzbQXOw0ZqhC9ZDuYVTkHYTrt3nTnzvY9mCq8gTuzbpfUNm
//	(1) (2)
//
// of (1) a name and (2) a hash. Empty lines and those that start with # are left out.
func parseAccounts(text []byte) (map[string][]byte, error) {
	hashes := map[string][]byte{}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, found := strings.Cut(line, ":")
		if !found || name == "" {
			return nil, fmt.Errorf("line %d is not of the form NAME:HASH", n)
		}
		if _, err := bcrypt.Cost([]byte(hash)); err != nil {
			return nil, fmt.Errorf("line %d: the password of %q is not hashed with bcrypt; use htpasswd -B", n, name)
		}
		hashes[name] = []byte(hash)
	}
	return hashes, lines.Err()
}

// check tells whether a password is the one of an account.
func (a *Accounts) check(name, password string) bool {
	hash, seal, known := a.look(name, password)
	if known {
		return true
	}
	a.slots <- struct{}{}
	defer func() { <-a.slots }()
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil {
		return false
	}
	a.lock.Lock()
	defer a.lock.Unlock()
	if !bytes.Equal(a.hashes[name], hash) { // there is no such name, or the file has changed meanwhile
		return false
	}
	a.right[name] = seal
	return true
}

// look returns the hash of an account, or for an unknown name that of another one, so that the answer takes as long; the keyed
// hash of a password, and whether that was right before.
func (a *Accounts) look(name, password string) (hash, seal []byte, known bool) {
	a.lock.Lock()
	defer a.lock.Unlock()
	a.refresh()
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(name + ":" + password)) // a name has no colon
	seal = mac.Sum(nil)
	if hash = a.hashes[name]; hash == nil {
		for _, hash = range a.hashes {
			break
		}
	}
	return hash, seal, a.right[name] != nil && hmac.Equal(a.right[name], seal)
}

// refresh reads the file again if it has changed. The caller holds the lock.
func (a *Accounts) refresh() {
	info, err := os.Stat(a.file)
	switch {
	case err == nil && info.ModTime().Equal(a.changed) && info.Size() == a.size:
		return
	case err == nil:
		err = a.read()
	case a.changed.IsZero(): // it was told before
		return
	default:
		a.changed = time.Time{}
	}
	if err != nil && a.problem != nil {
		a.problem(fmt.Errorf("the accounts stay as they were: %w", err))
	}
}
