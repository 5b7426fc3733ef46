// SPDX-License-Identifier: Apache-2.0

package container

import (
	"errors"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"stave/kernel"
	"stave/namespaces"
)

// AgainAsRoot runs this program again with the same arguments, for a caller who is not root: as root of a user namespace with his own id
// and his ranges of /etc/subuid and /etc/subgid, and with a mount namespace. There layers can be unpacked with the owners
// that their files have, and joined. It returns the exit code; signals that the caller gets are passed on.
func AgainAsRoot(env []string) (code int, err error) {
	uid, gid := os.Geteuid(), os.Getegid()
	uids, gids := subordinate(uid)
	if len(uids) == 0 || len(gids) == 0 || !hasHelper("newuidmap") || !hasHelper("newgidmap") {
		return 0, errors.New("the files of an image belong to many users, and an ordinary user has but one id: " +
			"give him ranges in /etc/subuid and /etc/subgid, and install newuidmap (Debian: uidmap); stave doctor says more")
	}
	c := namespaces.Config{
		New: unix.CLONE_NEWUSER | unix.CLONE_NEWNS, Mapping: namespaces.Helpers,
		UIDs: idMaps(ownThen(uid, uids)), GIDs: idMaps(ownThen(gid, gids)),
	}
	host, inside := c.Plan()
	program := kernel.Program{Host: host, Container: append(inside, kernel.Call{
		Request: kernel.Exec{Args: append([]string{"/proc/self/exe"}, os.Args[1:]...), Env: env},
		Why:     "the rest is done by one who is root there",
	})}
	signals, ended := make(chan os.Signal, 64), make(chan struct{})
	signal.Notify(signals, forwarded()...)
	process, err := program.Start(kernel.Options{})
	if err != nil {
		return 0, fmt.Errorf("become root of a user namespace: %w", explain(err))
	}
	go forward(process.Pid, signals, ended, nil)
	status, err := process.Wait()
	close(ended)
	return exitCode(status), err
}
