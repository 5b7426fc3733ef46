// SPDX-License-Identifier: Apache-2.0

package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// ParseMode gives the permission bits that a mode makes of the old ones: octal (4755), or symbolic clauses (u+s,go-w,a=rX).
// A clause without u, g, o or a means all, less the umask.
func ParseMode(text string, old uint32, isDir bool, umask uint32) (uint32, error) {
	if n, err := strconv.ParseUint(text, 8, 32); err == nil && n <= 0o7777 {
		return uint32(n), nil
	}
	mode := old
	for clause := range strings.SplitSeq(text, ",") {
		at := strings.IndexAny(clause, "+-=")
		if at < 0 || strings.Trim(clause[:at], "ugoa") != "" {
			return 0, fmt.Errorf("%s: not a mode", text)
		}
		who, mask := clause[:at], uint32(0o7777)
		if who == "" {
			who, mask = "a", 0o7777&^umask
		}
		for at < len(clause) {
			end := at + 1
			for end < len(clause) && !strings.ContainsRune("+-=", rune(clause[end])) {
				end++
			}
			bits, cleared, err := clauseBits(who, clause[at+1:end], mode, isDir)
			if err != nil {
				return 0, fmt.Errorf("%s: not a mode", text)
			}
			switch bits &= mask; clause[at] {
			case '+':
				mode |= bits
			case '-':
				mode &^= bits
			case '=':
				mode = mode&^cleared | bits
			}
			at = end
		}
	}
	return mode, nil
}

// clauseBits is the bits that letters mean for those who are named, and all bits of those, which "=" clears first.
func clauseBits(who, letters string, old uint32, isDir bool) (bits, all uint32, err error) {
	shifts := map[rune]uint32{'u': 6, 'g': 3, 'o': 0}
	setID := map[rune]uint32{'u': 0o4000, 'g': 0o2000}
	who = strings.ReplaceAll(who, "a", "ugo")
	for _, w := range who {
		all |= 7<<shifts[w] | setID[w]
		for _, letter := range letters {
			switch letter {
			case 'r':
				bits |= 4 << shifts[w]
			case 'w':
				bits |= 2 << shifts[w]
			case 'x':
				bits |= 1 << shifts[w]
			case 'X': // x for a folder, and for a file that someone may execute already
				if isDir || old&0o111 != 0 {
					bits |= 1 << shifts[w]
				}
			case 's':
				bits |= setID[w]
			case 't':
				bits |= 0o1000
			case 'u', 'g', 'o':
				bits |= old >> shifts[letter] & 7 << shifts[w]
			default:
				return 0, 0, errors.New("unknown letter")
			}
		}
	}
	return bits, all, nil
}

// setMode changes the mode of one file.
func setMode(text, name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	umask := uint32(unix.Umask(0))
	unix.Umask(int(umask))
	mode, err := ParseMode(text, tool.UnixMode(info.Mode()), info.IsDir(), umask)
	if err != nil {
		return err
	}
	if err := unix.Chmod(name, mode); err != nil {
		return &fs.PathError{Op: "chmod", Path: name, Err: err}
	}
	return nil
}

// Chmod changes modes: chmod [-R] MODE FILE….
func Chmod(std tool.IO, args []string) int {
	// A mode such as -w looks like an option.
	plain := append([]string{}, args...)
	for i, arg := range plain[1:] {
		if len(arg) > 1 && arg[0] == '-' && strings.Trim(arg[1:], "rwxXst,+=-ugoa") == "" {
			plain[i+1] = "a" + arg
		}
	}
	return change(std, plain, "which mode and which file?", setMode)
}

// Chown changes owners: chown [-Rh] USER[:GROUP] FILE…. Names are those of /etc/passwd and /etc/group.
func Chown(std tool.IO, args []string) int {
	return change(std, args, "which owner and which file?", func(owner, name string) error {
		uid, gid, err := parseOwner(owner)
		if err != nil {
			return err
		}
		return os.Lchown(name, uid, gid)
	})
}

// parseOwner reads USER, USER:GROUP or :GROUP; -1 leaves what there is.
func parseOwner(text string) (uid, gid int, err error) {
	uid, gid = -1, -1
	user, group, _ := strings.Cut(text, ":")
	if user != "" {
		if uid, err = tool.Users().ID(user); err != nil {
			return 0, 0, err
		}
	}
	if group != "" {
		gid, err = tool.Groups().ID(group)
	}
	return uid, gid, err
}

// change calls fn with the first operand and each of the others, and with -R for everything below them.
func change(std tool.IO, args []string, missing string, fn func(what, name string) error) int {
	o, err := tool.Parse(args[1:], "Rh", "recursive=R")
	if err == nil && len(o.Args) < 2 {
		err = errors.New(missing)
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	code := 0
	for _, name := range o.Args[1:] {
		if !o.Has("R") {
			if err := fn(o.Args[0], name); err != nil {
				code = std.Fail(args[0], err)
			}
			continue
		}
		_ = filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			if err == nil && (d.Type()&fs.ModeSymlink == 0 || args[0] == "chown") {
				err = fn(o.Args[0], path)
			}
			if err != nil {
				code = std.Fail(args[0], err)
			}
			return nil
		})
	}
	return code
}
