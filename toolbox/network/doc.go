// SPDX-License-Identifier: Apache-2.0

// Package network holds the tools for wires and what runs over them: ip, ping, wget, nc and httpd. ip speaks netlink
// through github.com/vishvananda/netlink; see rtnetlink(7) and ip(8), whose words it takes.
package network
