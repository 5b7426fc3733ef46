// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"
	"net"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// scopeName is the name of the scope of an address or a route; see rtnetlink(7).
func scopeName(scope int) string {
	switch scope {
	case unix.RT_SCOPE_UNIVERSE:
		return "global"
	case unix.RT_SCOPE_SITE:
		return "site"
	case unix.RT_SCOPE_LINK:
		return "link"
	case unix.RT_SCOPE_HOST:
		return "host"
	}
	return fmt.Sprint(scope)
}

// address is ip addr.
func address(std tool.IO, o ipOptions, verb string, args words) error {
	switch {
	case isPrefix(verb, "show"), verb == "list", verb == "ls":
		return showAddresses(std, o, args)
	case isPrefix(verb, "add"), isPrefix(verb, "delete"), verb == "replace":
		return changeAddress(verb, args)
	case isPrefix(verb, "flush"):
		return flushAddresses(o, args)
	}
	return fmt.Errorf("addr %s: unknown: show, add, del or flush", verb)
}

// showAddresses prints links with their addresses.
func showAddresses(std tool.IO, o ipOptions, args words) error {
	links, err := selected(args)
	if err != nil {
		return err
	}
	names, err := linkNames()
	if err != nil {
		return err
	}
	for _, l := range links {
		addresses, err := netlink.AddrList(l, o.family)
		if err != nil {
			return err
		}
		name := l.Attrs().Name
		if o.brief {
			list := make([]string, len(addresses))
			for i, a := range addresses {
				list[i] = a.IPNet.String()
			}
			fmt.Fprintln(std.Out, strings.TrimRight(fmt.Sprintf("%-16s %-14s %s", name, state(l), strings.Join(list, " ")), " "))
			continue
		}
		if !o.oneLine {
			fmt.Fprintln(std.Out, header(l, names, "\n    "))
		}
		for _, a := range addresses {
			line := addressLine(a)
			if o.oneLine {
				fmt.Fprintf(std.Out, "%d: %s    %s\n", l.Attrs().Index, name, line)
			} else {
				fmt.Fprintf(std.Out, "    %s %s\n", line, name)
			}
		}
	}
	return nil
}

// addressLine is one address in words.
func addressLine(a netlink.Addr) string {
	family := "inet6"
	if a.IP.To4() != nil {
		family = "inet"
	}
	text := family + " " + a.IPNet.String()
	if a.Peer != nil && a.Peer.String() != a.IPNet.String() {
		text = family + " " + a.IP.String() + " peer " + a.Peer.String()
	}
	if a.Broadcast != nil {
		text += " brd " + a.Broadcast.String()
	}
	return text + " scope " + scopeName(a.Scope)
}

// changeAddress is ip addr add|del|replace ADDRESS[/BITS] [brd +|IP] [scope NAME] dev DEV.
func changeAddress(verb string, args words) error {
	var a *netlink.Addr
	var l netlink.Link
	for len(args) > 0 {
		word := args.next()
		var err error
		switch word {
		case "dev":
			l, err = byName(args.next())
		case "local":
		case "brd", "broadcast":
			if text := args.next(); text != "+" && a != nil {
				a.Broadcast = net.ParseIP(text)
			}
		case "scope":
			scopes := map[string]int{"global": unix.RT_SCOPE_UNIVERSE, "link": unix.RT_SCOPE_LINK, "host": unix.RT_SCOPE_HOST}
			scope, ok := scopes[args.next()]
			if !ok || a == nil {
				err = fmt.Errorf("scope: one of global, link, host, after the address")
			} else {
				a.Scope = scope
			}
		default:
			a, err = parseAddress(word)
		}
		if err != nil {
			return err
		}
	}
	if a == nil || l == nil {
		return fmt.Errorf("usage: ip addr %s ADDRESS/BITS dev LINK", verb)
	}
	var err error
	switch {
	case isPrefix(verb, "delete"):
		err = netlink.AddrDel(l, a)
	case verb == "replace":
		err = netlink.AddrReplace(l, a)
	default:
		err = netlink.AddrAdd(l, a)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", a.IPNet, err)
	}
	return nil
}

// parseAddress reads an address; without /BITS it is one host.
func parseAddress(text string) (*netlink.Addr, error) {
	if ip := net.ParseIP(text); ip != nil {
		text += "/128"
		if ip.To4() != nil {
			text = ip.String() + "/32"
		}
	}
	a, err := netlink.ParseAddr(text)
	if err != nil {
		return nil, fmt.Errorf("%s: not an address", text)
	}
	return a, nil
}

// flushAddresses is ip addr flush [dev] DEV.
func flushAddresses(o ipOptions, args words) error {
	name := args.next()
	if name == "dev" {
		name = args.next()
	}
	l, err := byName(name)
	if err != nil {
		return err
	}
	addresses, err := netlink.AddrList(l, o.family)
	if err != nil {
		return err
	}
	for _, a := range addresses {
		if err := netlink.AddrDel(l, &a); err != nil {
			return fmt.Errorf("%s: %w", a.IPNet, err)
		}
	}
	return nil
}
