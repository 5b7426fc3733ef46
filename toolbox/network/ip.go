// SPDX-License-Identifier: Apache-2.0

package network

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// ipOptions is the options before the object: -br, -o, -4, -6.
type ipOptions struct {
	brief, oneLine bool
	family         int
}

// IP shows and changes links, addresses and routes: ip [-br] [-o] [-4|-6] link|addr|route|neigh [show|add|del|set|flush] ….
func IP(std tool.IO, args []string) int {
	o := ipOptions{family: netlink.FAMILY_ALL}
	rest := args[1:]
	for len(rest) > 0 && strings.HasPrefix(rest[0], "-") {
		switch rest[0] {
		case "-br", "-brief":
			o.brief = true
		case "-o", "-oneline":
			o.oneLine = true
		case "-4":
			o.family = netlink.FAMILY_V4
		case "-6":
			o.family = netlink.FAMILY_V6
		default:
			return std.Errorf(args[0], "unknown option %s", rest[0])
		}
		rest = rest[1:]
	}
	if len(rest) == 0 {
		return std.Errorf(args[0], "which object? link, addr, route or neigh")
	}
	object, rest := rest[0], rest[1:]
	verb := "show"
	if len(rest) > 0 {
		verb, rest = rest[0], rest[1:]
	}
	var err error
	switch {
	case isPrefix(object, "link"):
		err = link(std, o, verb, rest)
	case isPrefix(object, "address"):
		err = address(std, o, verb, rest)
	case isPrefix(object, "route"):
		err = route(std, o, verb, rest)
	case isPrefix(object, "neighbour"), isPrefix(object, "neighbor"):
		err = neighbours(std, o, verb, rest)
	default:
		err = fmt.Errorf("%s: unknown object: link, addr, route or neigh", object)
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	return 0
}

// isPrefix reports whether a word may stand for another: l, li, lin and link for link.
func isPrefix(word, whole string) bool { return word != "" && strings.HasPrefix(whole, word) }

// words is the arguments of a verb, taken one after the other.
type words []string

// next takes a word, "" at the end.
func (w *words) next() string {
	if len(*w) == 0 {
		return ""
	}
	first := (*w)[0]
	*w = (*w)[1:]
	return first
}

// value takes the word after another, which must be there.
func (w *words) value(after string) (string, error) {
	if len(*w) == 0 {
		return "", fmt.Errorf("%s: a value is missing", after)
	}
	return w.next(), nil
}

// byName is a link, with the name in the error if there is none.
func byName(name string) (netlink.Link, error) {
	l, err := netlink.LinkByName(name)
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) {
		return nil, fmt.Errorf("%s: no such link", name)
	}
	return l, err
}

// linkNames is the names of all links by their index.
func linkNames() (map[int]string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	names := map[int]string{}
	for _, l := range links {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	return names, nil
}

// state is the state of a link as ip writes it, UNKNOWN for one that has none, as the loopback.
func state(l netlink.Link) string {
	return strings.ToUpper(strings.ReplaceAll(l.Attrs().OperState.String(), "-", ""))
}

// flags is the flags of a link as ip prints them; see netdevice(7).
func flags(l netlink.Link) string {
	a := l.Attrs()
	var list []string
	for _, f := range []struct {
		bit  uint32
		name string
	}{
		{unix.IFF_LOOPBACK, "LOOPBACK"},
		{unix.IFF_BROADCAST, "BROADCAST"},
		{unix.IFF_POINTOPOINT, "POINTOPOINT"},
		{unix.IFF_MULTICAST, "MULTICAST"},
		{unix.IFF_NOARP, "NOARP"},
		{unix.IFF_PROMISC, "PROMISC"},
		{unix.IFF_MASTER, "MASTER"},
		{unix.IFF_SLAVE, "SLAVE"},
		{unix.IFF_UP, "UP"},
		{unix.IFF_LOWER_UP, "LOWER_UP"},
	} {
		if a.RawFlags&f.bit != 0 {
			list = append(list, f.name)
		}
	}
	if a.RawFlags&unix.IFF_UP != 0 && a.RawFlags&unix.IFF_RUNNING == 0 {
		list = append([]string{"NO-CARRIER"}, list...)
	}
	return strings.Join(list, ",")
}

// header is the first lines of a link: index, name, flags, MTU, master, state, hardware address.
func header(l netlink.Link, names map[int]string, separator string) string {
	a := l.Attrs()
	name := a.Name
	if a.ParentIndex != 0 && a.ParentIndex != a.Index {
		peer := fmt.Sprintf("if%d", a.ParentIndex)
		if n, ok := names[a.ParentIndex]; ok && a.NetNsID < 0 {
			peer = n
		}
		name += "@" + peer
	}
	text := fmt.Sprintf("%d: %s: <%s> mtu %d", a.Index, name, flags(l), a.MTU)
	if master, ok := names[a.MasterIndex]; ok {
		text += " master " + master
	}
	kind := "ether"
	if a.RawFlags&unix.IFF_LOOPBACK != 0 {
		kind = "loopback"
	}
	mac := a.HardwareAddr
	if len(mac) == 0 {
		mac = make(net.HardwareAddr, 6) // the library gives none for 00:00:00:00:00:00
	}
	text += fmt.Sprintf(" state %s%slink/%s %s", state(l), separator, kind, mac)
	if a.NetNsID >= 0 && a.ParentIndex != 0 {
		text += fmt.Sprintf(" link-netnsid %d", a.NetNsID)
	}
	return text
}
