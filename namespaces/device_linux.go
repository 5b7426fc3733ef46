// SPDX-License-Identifier: Apache-2.0

package namespaces

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"stave/kernel"
)

// slots name what is kept of a move: the container's network namespace, and the number 1 if the device was up. Neither is left when the device has
// to be taken back from a process that has ended.
func (m MoveDevice) slots() (there, up kernel.Slot) {
	return kernel.Slot("device-" + m.Name), kernel.Slot("device-up-" + m.Name)
}

// Do moves the device. After an error it is back.
func (m MoveDevice) Do(h *kernel.Host) error {
	there, err := unix.Open(h.Expand("/proc/$pid/ns/net"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the network namespace of process %d: %w", h.Pid(), err)
	}
	slotThere, slotUp := m.slots()
	h.Set(slotThere, there)
	link, err := netlink.LinkByName(m.Name)
	if err != nil {
		return fmt.Errorf("there is no such device here: %w", err)
	}
	up := 0
	if link.Attrs().Flags&net.FlagUp != 0 {
		up = 1
	}
	h.Set(slotUp, up)
	inside, err := netlink.NewHandleAt(netns.NsHandle(there), unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("talk to the container's network: %w", err)
	}
	defer inside.Close()
	before, err := indexes(inside)
	if err != nil {
		return err
	}
	if taken, _ := inside.LinkByName(m.NewName); taken != nil {
		return fmt.Errorf("the container has a device %s already: give another name (eth%%d lets the kernel find one)", m.NewName)
	}
	addresses, err := lasting(&netlink.Handle{}, link)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetNsFd(link, there); err != nil {
		return err
	}
	if err := m.settle(inside, before, addresses); err != nil {
		return errors.Join(err, m.Undo(h))
	}
	return nil
}

// settle names the device that has just come, gives it its addresses and brings it up.
func (m MoveDevice) settle(inside *netlink.Handle, before map[int]bool, addresses []netlink.Addr) error {
	links, err := inside.LinkList()
	if err != nil {
		return fmt.Errorf("list the container's devices: %w", err)
	}
	for _, link := range links {
		if before[link.Attrs().Index] {
			continue
		}
		if link.Attrs().Name != m.NewName {
			if err := inside.LinkSetName(link, m.NewName); err != nil {
				return fmt.Errorf("name it %s: %w", m.NewName, err)
			}
		}
		return restore(inside, link, addresses, true)
	}
	return errors.New("it has not come into the container")
}

// Undo takes the device back, with its name and addresses.
func (m MoveDevice) Undo(h *kernel.Host) error {
	slotThere, slotUp := m.slots()
	here, err := netns.Get()
	if err != nil {
		return err
	}
	defer here.Close()
	inside, err := netlink.NewHandleAt(netns.NsHandle(h.FD(slotThere)), unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer inside.Close()
	links, err := inside.LinkList()
	if err != nil {
		return err
	}
	for _, link := range links {
		if name := link.Attrs().Name; name != m.Name && !m.matches(name) {
			continue
		}
		addresses, err := lasting(inside, link)
		if err != nil {
			return err
		}
		err = errors.Join(inside.LinkSetDown(link), inside.LinkSetName(link, m.Name), inside.LinkSetNsFd(link, int(here)))
		if err != nil {
			return fmt.Errorf("take %s back: %w", m.Name, err)
		}
		back, err := netlink.LinkByName(m.Name)
		if err != nil {
			return err
		}
		return restore(&netlink.Handle{}, back, addresses, h.FD(slotUp) == 1)
	}
	return nil
}

// indexes are the numbers of all devices of a namespace.
func indexes(inside *netlink.Handle) (map[int]bool, error) {
	links, err := inside.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the container's devices: %w", err)
	}
	list := map[int]bool{}
	for _, link := range links {
		list[link.Attrs().Index] = true
	}
	return list, nil
}

// lasting lists the addresses that a device keeps.
func lasting(handle *netlink.Handle, link netlink.Link) ([]netlink.Addr, error) {
	all, err := handle.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("list its addresses: %w", err)
	}
	var list []netlink.Addr
	for _, a := range all {
		if a.Flags&unix.IFA_F_PERMANENT != 0 && a.Scope == unix.RT_SCOPE_UNIVERSE {
			kept := netlink.Addr{IPNet: a.IPNet, Flags: a.Flags & unix.IFA_F_NOPREFIXROUTE}
			if a.Peer != nil && a.Peer.String() != a.IPNet.String() {
				kept.Peer = a.Peer
			}
			list = append(list, kept)
		}
	}
	return list, nil
}

// restore gives a device its addresses, and brings it up.
func restore(handle *netlink.Handle, link netlink.Link, addresses []netlink.Addr, up bool) error {
	for _, a := range addresses {
		if err := handle.AddrAdd(link, &a); err != nil && err != unix.EEXIST {
			return fmt.Errorf("give it the address %s: %w", a.IPNet, err)
		}
	}
	if !up {
		return nil
	}
	if err := handle.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring it up: %w", err)
	}
	return nil
}
