// SPDX-License-Identifier: Apache-2.0

package main_test

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"stave/internal/witness"
)

// inNetwork runs stave-oci in a network namespace with two devices: one0, which is up and has addresses, and two0, which has
// neither. Afterwards it shows what is left there.
func inNetwork(t *testing.T, dir string) result {
	t.Helper()
	witness.Need(t, "root", "command:unshare", "command:ip")
	const script = `set -e
ip link add one0 type veth peer name two0; ip link set one0 up
ip addr add 10.9.8.7/24 dev one0; ip addr add 10.9.7.6/24 dev one0 scope link; ip -6 addr add fd00::7/64 dev one0 nodad
ip addr add 10.9.6.5/24 dev one0 valid_lft 1000 preferred_lft 1000
set +e; "$@"; code=$?
for device in one0 two0; do
	ip -o link show dev $device 2>/dev/null | sed -E 's/^[0-9]+: ([a-z0-9]+)[^<]*<.*[<,]UP[,>].*/\1 up/; s/^[0-9]+: ([a-z0-9]+)[@:].*/\1 down/' >&2
	ip -o addr show dev $device scope global 2>/dev/null | sed -E 's/.* (inet6? [^ ]*).*/\1/' >&2
done; exit $code`
	return run(t, exec.Command("unshare", append([]string{"--net", "sh", "-c", script, "sh"}, oci(dir).Args...)...))
}

// showDevices is the script of a container that shows its devices.
const showDevices = `/bin/busybox ip -o link | grep -v " lo:" | while read -r number name flags rest; do echo ${name%@*} $flags; done | sort
/bin/busybox ip -o addr | grep -v " lo " | while read -r number name family address rest; do echo $name $address; done | grep -v fe80 | sort`

// TestNetDevices moves devices: with a new name, with its own, by a pattern; addresses that somebody gave a device for good
// and for all networks come along, others don't.
func TestNetDevices(t *testing.T) {
	for name, changes := range map[string][]change{"root": nil, "user namespace": {withUserNamespace}} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, showDevices, append(changes, func(s *specs.Spec) {
				s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"one0": {Name: "inside"}, "two0": {Name: "x%d"}}
			})...)
			got := inNetwork(t, dir)
			const up = " <BROADCAST,MULTICAST,UP,LOWER_UP>\n"
			want := "inside" + up + "x0" + up + "inside 10.9.8.7/24\ninside fd00::7/64\n"
			if got.code != 0 || got.out != want || got.err != "" {
				t.Errorf("exit code %d, %s, output\n%s, want\n%s", got.code, got.err, got.out, want)
			}
		})
	}
}

// withUserNamespace maps root of the container to another user.
func withUserNamespace(s *specs.Spec) {
	s.Linux.Namespaces = append(s.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: 100000, Size: 65536}}
}

// TestNetDevicesComeBack fails after a device has moved: it is back, with its name, its addresses, and up or not as before.
func TestNetDevicesComeBack(t *testing.T) {
	both := map[string]specs.LinuxNetDevice{"one0": {Name: "inside"}, "two0": {}}
	for name, test := range map[string]struct {
		change change
		say    string
	}{
		"hook": {func(s *specs.Spec) {
			s.Linux.NetDevices = both
			s.Hooks = &specs.Hooks{CreateRuntime: hook("exit 9")}
		}, "exit code 9"},
		"name taken": {func(s *specs.Spec) {
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"one0": {}, "two0": {Name: "lo"}}
		}, "the container has a device lo already"},
		"not there": {func(s *specs.Spec) {
			s.Linux.NetDevices = map[string]specs.LinuxNetDevice{"one0": {}, "three0": {}}
		}, "three0 into the container: there is no such device here"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := newBundle(t, "echo never", test.change)
			got := inNetwork(t, dir)
			// The address for a while is lost on the way: it is not one that the device keeps.
			left := strings.Replace(got.err, "inet 10.9.6.5/24\n", "", 1)
			if want := "one0 up\ninet 10.9.8.7/24\ninet6 fd00::7/64\ntwo0 down\n"; got.code != 1 || got.out != "" || !strings.HasSuffix(left, want) {
				t.Errorf("exit code %d, output %q, errors and what is left\n%swant\n%s", got.code, got.out, got.err, want)
			}
			if !strings.Contains(got.err, test.say) {
				t.Errorf("the error does not say %q: %s", test.say, got.err)
			}
		})
	}
}
