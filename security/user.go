// SPDX-License-Identifier: Apache-2.0

package security

import (
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// LookUser finds the user that docker run --user and an image's USER name: "", "user", "uid", "user:group", "uid:gid" and
// mixtures of them. passwd and group are the container's own files (passwd(5), group(5)); either may be nil where the image
// has none, and then only numbers can be found. The supplementary groups are those whose member list has the user, unless a
// group is named. home is "/" when nothing is known of it.
//
// Names are never looked up on the host: the same name has another number there.
func LookUser(spec string, passwd, group io.Reader) (u specs.User, home string, err error) {
	found, err := user.GetExecUser(spec, &user.ExecUser{Home: "/"}, passwd, group)
	switch {
	case errors.Is(err, user.ErrNoPasswdEntries):
		return u, "", fmt.Errorf("user %q is not in the container's /etc/passwd: give a number, or add the user to the image", spec)
	case errors.Is(err, user.ErrNoGroupEntries):
		return u, "", fmt.Errorf("the group of %q is not in the container's /etc/group: give a number, or add the group to the image", spec)
	case err != nil:
		return u, "", fmt.Errorf("user %q: %w", spec, err)
	}
	u = specs.User{UID: uint32(found.Uid), GID: uint32(found.Gid)}
	for _, gid := range found.Sgids {
		u.AdditionalGids = append(u.AdditionalGids, uint32(gid))
	}
	if found.Home == "" {
		found.Home = "/"
	}
	return u, found.Home, nil
}

// LookGroups finds the groups that docker run --group-add names, by name or number, in the container's own group file, which
// may be nil.
func LookGroups(names []string, group io.Reader) ([]uint32, error) {
	found, err := user.GetAdditionalGroups(names, group)
	if err != nil {
		return nil, fmt.Errorf("groups %v: %w", names, err)
	}
	var gids []uint32
	for _, gid := range found {
		gids = append(gids, uint32(gid))
	}
	return gids, nil
}

// UserName is the name that a passwd file has for a user, and his number where it has none.
func UserName(uid int, passwd io.Reader) string {
	list, err := user.ParsePasswdFilter(passwd, func(u user.User) bool { return u.Uid == uid })
	if err != nil || len(list) == 0 {
		return strconv.Itoa(uid)
	}
	return list[0].Name
}
