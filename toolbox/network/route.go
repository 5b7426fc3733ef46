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

// route is ip route.
func route(std tool.IO, o ipOptions, verb string, args words) error {
	switch {
	case isPrefix(verb, "show"), verb == "list", verb == "ls":
		return showRoutes(std, o, args)
	case isPrefix(verb, "get"):
		return getRoute(std, args)
	case isPrefix(verb, "add"), isPrefix(verb, "delete"), verb == "replace":
		r, err := parseRoute(args, o.family)
		if err != nil {
			return err
		}
		switch {
		case isPrefix(verb, "delete"):
			if r.Gw == nil {
				r.Scope = netlink.SCOPE_NOWHERE // a route of any scope
			}
			return netlink.RouteDel(r)
		case verb == "replace":
			return netlink.RouteReplace(r)
		}
		return netlink.RouteAdd(r)
	}
	return fmt.Errorf("route %s: unknown: show, get, add, replace or del", verb)
}

// showRoutes prints the main table, of one link if it is named.
func showRoutes(std tool.IO, o ipOptions, args words) error {
	family := o.family
	if family == netlink.FAMILY_ALL {
		family = netlink.FAMILY_V4 // as ip does
	}
	var l netlink.Link
	if len(args) > 0 {
		name := args.next()
		if name == "dev" {
			name = args.next()
		}
		var err error
		if l, err = byName(name); err != nil {
			return err
		}
	}
	routes, err := netlink.RouteList(l, family)
	if err != nil {
		return err
	}
	names, err := linkNames()
	if err != nil {
		return err
	}
	for _, r := range routes {
		fmt.Fprintln(std.Out, routeLine(r, names))
	}
	return nil
}

// routeLine is one route in words.
func routeLine(r netlink.Route, names map[int]string) string {
	parts := []string{"default"}
	if ones := -1; r.Dst != nil {
		ones, _ = r.Dst.Mask.Size()
		if !(ones == 0 && r.Dst.IP.IsUnspecified()) {
			parts[0] = r.Dst.String()
		}
	}
	if r.Type != unix.RTN_UNICAST && r.Type != 0 {
		parts = append([]string{map[int]string{
			unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast",
			unix.RTN_UNREACHABLE: "unreachable", unix.RTN_BLACKHOLE: "blackhole",
		}[r.Type]}, parts...)
	}
	if r.Gw != nil {
		parts = append(parts, "via", r.Gw.String())
	}
	if name, ok := names[r.LinkIndex]; ok {
		parts = append(parts, "dev", name)
	}
	if r.Protocol != 0 && r.Protocol != unix.RTPROT_BOOT { // boot is what a user adds
		parts = append(parts, "proto", r.Protocol.String())
	}
	if r.Scope != netlink.SCOPE_UNIVERSE {
		parts = append(parts, "scope", scopeName(int(r.Scope)))
	}
	if r.Src != nil {
		parts = append(parts, "src", r.Src.String())
	}
	if r.Priority != 0 {
		parts = append(parts, "metric", fmt.Sprint(r.Priority))
	}
	return strings.Join(parts, " ")
}

// parseRoute reads default|NETWORK [via IP] [dev DEV] [src IP] [metric N] [scope link].
func parseRoute(args words, family int) (*netlink.Route, error) {
	r := &netlink.Route{}
	for len(args) > 0 {
		word := args.next()
		var err error
		switch word {
		case "via":
			r.Gw, err = addressAfter(&args, word)
		case "src":
			r.Src, err = addressAfter(&args, word)
		case "dev":
			r.LinkIndex, err = indexAfter(&args, word)
		case "metric":
			r.Priority, err = numberAfter(&args, word)
		case "scope":
			if text := args.next(); text != "link" {
				err = fmt.Errorf("scope %s: only link", text)
			}
			r.Scope = netlink.SCOPE_LINK
		case "blackhole":
			r.Type = unix.RTN_BLACKHOLE
		case "unreachable":
			r.Type = unix.RTN_UNREACHABLE
		case "default":
			r.Dst = &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
		default:
			var a *netlink.Addr
			if a, err = parseAddress(word); err == nil {
				r.Dst = &net.IPNet{IP: a.IP.Mask(a.Mask), Mask: a.Mask}
			}
		}
		if err != nil {
			return nil, err
		}
	}
	if r.Dst == nil {
		return nil, fmt.Errorf("which network? ip route add default via IP, or NETWORK/BITS dev LINK")
	}
	six := family == netlink.FAMILY_V6 || r.Gw != nil && r.Gw.To4() == nil
	if ones, bits := r.Dst.Mask.Size(); six && ones == 0 && bits == 32 {
		r.Dst = &net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}
	}
	if r.Gw == nil && r.Scope == 0 && r.Type == 0 && r.Dst.IP.To4() != nil {
		r.Scope = netlink.SCOPE_LINK
	}
	return r, nil
}

// getRoute prints the way to an address.
func getRoute(std tool.IO, args words) error {
	ip, err := addressAfter(&args, "get")
	if err != nil {
		return err
	}
	routes, err := netlink.RouteGet(ip)
	if err != nil {
		return fmt.Errorf("%s: %w", ip, err)
	}
	names, err := linkNames()
	if err != nil {
		return err
	}
	for _, r := range routes {
		r.Dst, r.Type = &net.IPNet{IP: ip, Mask: net.CIDRMask(8*len(ip), 8*len(ip))}, 0
		text := strings.Replace(routeLine(r, names), r.Dst.String(), ip.String(), 1)
		fmt.Fprintln(std.Out, text)
	}
	return nil
}

// neighbours is ip neigh: who has which hardware address.
func neighbours(std tool.IO, o ipOptions, verb string, args words) error {
	if !isPrefix(verb, "show") {
		return fmt.Errorf("neigh %s: unknown: show", verb)
	}
	names, err := linkNames()
	if err != nil {
		return err
	}
	only := args.next()
	if only == "dev" {
		only = args.next()
	}
	list, err := netlink.NeighList(0, o.family)
	if err != nil {
		return err
	}
	states := map[int]string{
		netlink.NUD_REACHABLE: "REACHABLE", netlink.NUD_STALE: "STALE", netlink.NUD_DELAY: "DELAY",
		netlink.NUD_PROBE: "PROBE", netlink.NUD_FAILED: "FAILED", netlink.NUD_INCOMPLETE: "INCOMPLETE", netlink.NUD_PERMANENT: "PERMANENT",
	}
	for _, n := range list {
		name := names[n.LinkIndex]
		if n.State == netlink.NUD_NOARP || only != "" && only != name {
			continue
		}
		mac := ""
		if n.HardwareAddr != nil {
			mac = " lladdr " + n.HardwareAddr.String()
		}
		fmt.Fprintf(std.Out, "%s dev %s%s %s\n", n.IP, name, mac, states[n.State])
	}
	return nil
}
