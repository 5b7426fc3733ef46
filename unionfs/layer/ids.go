// SPDX-License-Identifier: Apache-2.0

package layer

import (
	"fmt"
	"math"
)

// noID tells chown(2) to leave an owner as it is, so nobody has it.
const noID = math.MaxUint32

// outside is the number on disk for a number of an archive.
func outside(ranges []Range, id int) (uint32, error) {
	if id < 0 || id >= noID {
		return 0, fmt.Errorf("owner %d is not between 0 and %d", id, uint32(noID-1))
	}
	if len(ranges) == 0 {
		return uint32(id), nil
	}
	for _, r := range ranges {
		if n := uint32(id) - r.Inside; uint32(id) >= r.Inside && n < r.Size {
			return r.Outside + n, nil
		}
	}
	return 0, fmt.Errorf("owner %d is in none of the ranges of the user namespace: give it more numbers (subuid(5))", id)
}

// inside is the number in an archive for a number on disk.
func inside(ranges []Range, id uint32) (int, error) {
	turned := make([]Range, len(ranges))
	for i, r := range ranges {
		turned[i] = Range{Inside: r.Outside, Outside: r.Inside, Size: r.Size}
	}
	n, err := outside(turned, int(id))
	return int(n), err
}
