// SPDX-License-Identifier: Apache-2.0

package namespaces

import (
	"fmt"
	"strings"

	"stave/kernel"
)

// MoveDevice moves a network device of the caller's network namespace into that of the container's process, gives it
// another name there, and brings it up. It keeps the addresses that somebody gave it for good and for all networks
// (rtnetlink(7): IFA_F_PERMANENT, RT_SCOPE_UNIVERSE), which the kernel takes from a device that moves.
type MoveDevice struct {
	// Name is the device's, NewName the one that it gets; "eth%d" lets the kernel find a number.
	Name, NewName string
}

// CheckDevice refuses a name that no network device can have. A new one may be a pattern, see [MoveDevice].
func CheckDevice(name string, isNew bool) error {
	const longest = 15 // IFNAMSIZ, less the NUL
	plain := name
	if isNew {
		plain = strings.Replace(name, "%d", "0", 1)
	}
	if name == "" || len(name) > longest || name == "." || name == ".." || strings.ContainsAny(plain, "/:% \t\n\v\f\r\x00") {
		return fmt.Errorf("%q is no name of a network device: up to %d characters, none of them a space, a slash, a colon or a percent sign", name, longest)
	}
	return nil
}

// String names the device, and its new name if it gets one.
func (m MoveDevice) String() string {
	words := "move the network device " + m.Name + " into the container"
	if m.NewName != m.Name {
		words += " as " + m.NewName
	}
	return words
}

// Shell is ip(8) for the move; the addresses are given to the device again in the namespace.
func (m MoveDevice) Shell() string {
	move := fmt.Sprintf("ip link set dev %s netns $pid name %s", kernel.Quote(m.Name), kernel.Quote(m.NewName))
	inside := "nsenter --target $pid --net ip "
	if strings.Contains(m.NewName, "%d") {
		return move
	}
	device := kernel.Quote(m.NewName)
	return fmt.Sprintf("addresses=$(ip -o addr show dev %s scope global permanent | while read -r _ _ _ address _; do echo $address; done) && %s && for address in $addresses; do %saddr add $address dev %s; done && %slink set dev %s up",
		kernel.Quote(m.Name), move, inside, device, inside, device)
}

// Assemble adds nothing: Do moves.
func (m MoveDevice) Assemble(*kernel.Assembler) {}

// matches tells whether a name may be the new one.
func (m MoveDevice) matches(name string) bool {
	before, after, pattern := strings.Cut(m.NewName, "%d")
	if !pattern {
		return name == m.NewName
	}
	number, ok := strings.CutPrefix(name, before)
	number, ends := strings.CutSuffix(number, after)
	return ok && ends && number != "" && strings.Trim(number, "0123456789") == ""
}
