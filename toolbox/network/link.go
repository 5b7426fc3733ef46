// SPDX-License-Identifier: Apache-2.0

package network

import (
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"

	"github.com/vishvananda/netlink"
	"stave/toolbox/tool"
)

// link is ip link.
func link(std tool.IO, o ipOptions, verb string, args words) error {
	switch {
	case isPrefix(verb, "show"), verb == "list", verb == "ls":
		return showLinks(std, o, args)
	case isPrefix(verb, "add"):
		return addLink(args)
	case isPrefix(verb, "delete"):
		name := args.next()
		if name == "dev" {
			name = args.next()
		}
		l, err := byName(name)
		if err != nil {
			return err
		}
		return netlink.LinkDel(l)
	case isPrefix(verb, "set"):
		return setLink(args)
	}
	return fmt.Errorf("link %s: unknown: show, add, set or del", verb)
}

// selected is the links that show is to show: of a name, a kind or a master, or all.
func selected(args words) ([]netlink.Link, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	keep := func(netlink.Link) bool { return true }
	for len(args) > 0 {
		word := args.next()
		switch word {
		case "up":
			keep = func(l netlink.Link) bool { return l.Attrs().Flags&net.FlagUp != 0 }
			continue
		case "type":
			kind, err := args.value(word)
			if err != nil {
				return nil, err
			}
			keep = func(l netlink.Link) bool { return l.Type() == kind }
			continue
		case "master":
			master, err := byName(args.next())
			if err != nil {
				return nil, err
			}
			keep = func(l netlink.Link) bool { return l.Attrs().MasterIndex == master.Attrs().Index }
			continue
		case "dev":
			word = args.next()
		}
		one, err := byName(word)
		if err != nil {
			return nil, err
		}
		keep = func(l netlink.Link) bool { return l.Attrs().Index == one.Attrs().Index }
	}
	slices.SortFunc(links, func(a, b netlink.Link) int { return a.Attrs().Index - b.Attrs().Index })
	var list []netlink.Link
	for _, l := range links {
		if keep(l) {
			list = append(list, l)
		}
	}
	return list, nil
}

// showLinks prints links.
func showLinks(std tool.IO, o ipOptions, args words) error {
	links, err := selected(args)
	if err != nil {
		return err
	}
	names, err := linkNames()
	if err != nil {
		return err
	}
	for _, l := range links {
		a := l.Attrs()
		switch {
		case o.brief:
			fmt.Fprintf(std.Out, "%-16s %-14s %-18s <%s>\n", a.Name, state(l), a.HardwareAddr, flags(l))
		case o.oneLine:
			fmt.Fprintln(std.Out, header(l, names, `\    `))
		default:
			fmt.Fprintln(std.Out, header(l, names, "\n    "))
		}
	}
	return nil
}

// addLink is ip link add [name] NAME [link DEV] [mtu N] [address MAC] type KIND [OPTION…].
func addLink(args words) error {
	a := netlink.NewLinkAttrs()
	for len(args) > 0 {
		word := args.next()
		var err error
		switch word {
		case "name", "dev":
			a.Name, err = args.value(word)
		case "type":
			l, err := kindOf(a, args)
			if err != nil {
				return err
			}
			if err := netlink.LinkAdd(l); err != nil {
				return fmt.Errorf("%s: %w", a.Name, err)
			}
			return nil
		case "link":
			a.ParentIndex, err = indexAfter(&args, word)
		case "mtu":
			a.MTU, err = numberAfter(&args, word)
		case "address":
			a.HardwareAddr, err = hardwareAfter(&args, word)
		default:
			a.Name = word
		}
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("which type? veth, bridge, dummy, vxlan, macvlan, ipvlan or vlan")
}

// indexAfter is the index of the link that is named after a word.
func indexAfter(args *words, word string) (int, error) {
	name, err := args.value(word)
	if err != nil {
		return 0, err
	}
	l, err := byName(name)
	if err != nil {
		return 0, err
	}
	return l.Attrs().Index, nil
}

// numberAfter is the number after a word.
func numberAfter(args *words, word string) (int, error) {
	text, err := args.value(word)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s %s: not a number", word, text)
	}
	return n, nil
}

// hardwareAfter is the hardware address after a word.
func hardwareAfter(args *words, word string) (net.HardwareAddr, error) {
	text, err := args.value(word)
	if err != nil {
		return nil, err
	}
	return net.ParseMAC(text)
}

// addressAfter is the IP address after a word.
func addressAfter(args *words, word string) (net.IP, error) {
	text, err := args.value(word)
	if err != nil {
		return nil, err
	}
	ip := net.ParseIP(text)
	if ip == nil {
		return nil, fmt.Errorf("%s %s: not an address", word, text)
	}
	return ip, nil
}

// kindOf is the link of the kind that is named, with the options of that kind.
func kindOf(a netlink.LinkAttrs, args words) (netlink.Link, error) {
	kind := args.next()
	switch kind {
	case "dummy":
		return &netlink.Dummy{LinkAttrs: a}, none(kind, args)
	case "bridge":
		return &netlink.Bridge{LinkAttrs: a}, none(kind, args)
	case "ifb":
		return &netlink.Ifb{LinkAttrs: a}, none(kind, args)
	case "veth":
		return veth(a, args)
	case "vxlan":
		return vxlan(a, args)
	case "vlan":
		if args.next() != "id" {
			return nil, fmt.Errorf("vlan: id N, please")
		}
		n, err := numberAfter(&args, "id")
		return &netlink.Vlan{LinkAttrs: a, VlanId: n}, err
	case "macvlan":
		modes := map[string]netlink.MacvlanMode{
			"": netlink.MACVLAN_MODE_BRIDGE, "bridge": netlink.MACVLAN_MODE_BRIDGE,
			"private": netlink.MACVLAN_MODE_PRIVATE, "vepa": netlink.MACVLAN_MODE_VEPA, "passthru": netlink.MACVLAN_MODE_PASSTHRU,
		}
		mode, ok := modes[modeOf(&args)]
		if !ok {
			return nil, fmt.Errorf("macvlan: unknown mode")
		}
		return &netlink.Macvlan{LinkAttrs: a, Mode: mode}, none(kind, args)
	case "ipvlan":
		modes := map[string]netlink.IPVlanMode{
			"": netlink.IPVLAN_MODE_L2, "l2": netlink.IPVLAN_MODE_L2, "l3": netlink.IPVLAN_MODE_L3,
			"l3s": netlink.IPVLAN_MODE_L3S,
		}
		mode, ok := modes[modeOf(&args)]
		if !ok {
			return nil, fmt.Errorf("ipvlan: unknown mode")
		}
		return &netlink.IPVlan{LinkAttrs: a, Mode: mode}, none(kind, args)
	}
	return nil, fmt.Errorf("type %s: unknown: veth, bridge, dummy, vxlan, macvlan, ipvlan or vlan", kind)
}

// none is an error if options are left.
func none(kind string, args words) error {
	if len(args) > 0 {
		return fmt.Errorf("%s %s: unknown option", kind, args[0])
	}
	return nil
}

// modeOf takes "mode NAME", if it is there.
func modeOf(args *words) string {
	if len(*args) < 2 || (*args)[0] != "mode" {
		return ""
	}
	args.next()
	return args.next()
}

// veth is a pair of links: type veth [peer [name] NAME [netns PID]].
func veth(a netlink.LinkAttrs, args words) (netlink.Link, error) {
	l := &netlink.Veth{LinkAttrs: a}
	if len(args) == 0 {
		return l, nil
	}
	if word := args.next(); word != "peer" {
		return nil, fmt.Errorf("veth %s: unknown option", word)
	}
	for len(args) > 0 {
		switch word := args.next(); word {
		case "name":
			l.PeerName = args.next()
		case "netns":
			pid, err := numberAfter(&args, word)
			if err != nil {
				return nil, err
			}
			l.PeerNamespace = netlink.NsPid(pid)
		default:
			l.PeerName = word
		}
	}
	return l, nil
}

// vxlan is a tunnel: type vxlan id VNI [dev DEV] [local IP] [remote IP | group IP] [dstport N] [nolearning]. The port is Linux's own, 8472,
// unless it is given; IANA's is 4789.
func vxlan(a netlink.LinkAttrs, args words) (netlink.Link, error) {
	l := &netlink.Vxlan{LinkAttrs: a, Learning: true, Port: 8472}
	for len(args) > 0 {
		var err error
		switch word := args.next(); word {
		case "id":
			l.VxlanId, err = numberAfter(&args, word)
		case "dev":
			l.VtepDevIndex, err = indexAfter(&args, word)
		case "local":
			l.SrcAddr, err = addressAfter(&args, word)
		case "remote", "group":
			l.Group, err = addressAfter(&args, word)
		case "dstport":
			l.Port, err = numberAfter(&args, word)
		case "ttl":
			l.TTL, err = numberAfter(&args, word)
		case "nolearning":
			l.Learning = false
		default:
			err = fmt.Errorf("vxlan %s: unknown option", word)
		}
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// setLink is ip link set [dev] NAME up|down|mtu N|name NEW|address MAC|master BRIDGE|nomaster|netns PID-or-FILE….
func setLink(args words) error {
	name := args.next()
	if name == "dev" {
		name = args.next()
	}
	l, err := byName(name)
	if err != nil {
		return err
	}
	for len(args) > 0 {
		if err := setOne(l, &args); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// setOne makes one change to a link.
func setOne(l netlink.Link, args *words) error {
	word := args.next()
	switch word {
	case "up":
		return netlink.LinkSetUp(l)
	case "down":
		return netlink.LinkSetDown(l)
	case "nomaster":
		return netlink.LinkSetNoMaster(l)
	case "promisc":
		if args.next() == "on" {
			return netlink.SetPromiscOn(l)
		}
		return netlink.SetPromiscOff(l)
	case "mtu":
		n, err := numberAfter(args, word)
		if err != nil {
			return err
		}
		return netlink.LinkSetMTU(l, n)
	case "address":
		mac, err := hardwareAfter(args, word)
		if err != nil {
			return err
		}
		return netlink.LinkSetHardwareAddr(l, mac)
	case "master":
		index, err := indexAfter(args, word)
		if err != nil {
			return err
		}
		return netlink.LinkSetMasterByIndex(l, index)
	case "name", "netns":
		value, err := args.value(word)
		if err != nil {
			return err
		}
		if word == "name" {
			return netlink.LinkSetName(l, value)
		}
		return moveLink(l, value)
	}
	return fmt.Errorf("set %s: unknown", word)
}

// moveLink moves a link to the network namespace of a process or of a file.
func moveLink(l netlink.Link, where string) error {
	if pid, err := strconv.Atoi(where); err == nil {
		return netlink.LinkSetNsPid(l, pid)
	}
	f, err := os.Open(where)
	if err != nil {
		return err
	}
	defer f.Close()
	return netlink.LinkSetNsFd(l, int(f.Fd()))
}
