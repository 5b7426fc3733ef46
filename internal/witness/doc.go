// SPDX-License-Identifier: Apache-2.0

// Package witness helps tests to look at the kernel instead of believing what a function says it did.
//
// A package whose tests touch the machine has three lines in one of its test files:
//
//	func TestMain(m *testing.M) {
//		witness.Main(m)
//	}
//
// Main then starts the test binary a second time, as its own child, and stays beside it. It is the reaper of
// every orphan (prctl(2), PR_SET_CHILD_SUBREAPER), so no process that the tests started can get away from it.
// When it is root it first moves to a mount, a network and a UTS namespace of its own, where / is shared as
// systemd makes it, loopback is up, and no other program mounts or adds a link: whatever is new there in the end
// was left by the tests. The tests get a temporary folder of their own in TMPDIR for the same reason. When the
// tests are done, Main gives late clean-up two seconds; what is left then is printed, and the run fails even if
// every test passed:
//
//   - mounts, and with them namespaces kept alive by a file (nsfs);
//   - network links, and the host name;
//   - cgroups of every mounted hierarchy, but not the units that systemd comes and goes with;
//   - processes, with the namespaces that only they keep;
//   - threads of the test binary that stayed in another namespace, and open descriptors of namespaces;
//   - controllers that the top of a v2 tree gives away on a machine that limits by version 1;
//   - files in TMPDIR, /tmp/stave*, and in the folders below /run and /var/lib where stave keeps its state.
//
// Runs as root wait for each other (flock on /run/stave-tests.lock), because cgroups and /run have no owner that
// could be asked. Fuzzing runs without a witness. A test that uses testscript writes
// testscript.Main(witness.Watch(m), commands) instead.
//
// [Need] says what a test needs, and skips it with a reason or fails it. [SharedRoot] runs one test in a mount
// namespace that is thrown away. [Mounts], [Namespace] and [Until] look.
//
// Only tests import this package. It leaves out nftables rules and sysctls: those of the network live and die
// with the witness's namespace. /sys/class/net is still the one of the machine, since /sys is not mounted anew.
// Read watch_linux.go first.
package witness
