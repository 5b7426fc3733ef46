// SPDX-License-Identifier: Apache-2.0

package witness

import (
	"testing"
	"time"
)

// limit is how long Until waits: long enough for an emulated machine on one that does other things as well.
const limit = time.Minute

// Until waits until a fact holds, and fails the test if it does not within a minute. A test never sleeps and hopes.
func Until(t testing.TB, fact string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v in vain until %s", limit, fact)
		}
	}
}
