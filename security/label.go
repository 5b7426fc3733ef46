// SPDX-License-Identifier: Apache-2.0

package security

import (
	"fmt"
	"strings"

	"stave/kernel"
)

// AppArmor plans the profile that the next execve puts the process under (apparmor(7)). An empty name asks for nothing;
// "unconfined" asks for nothing on a kernel without AppArmor.
func AppArmor(profile string, f Facts) ([]kernel.Call, error) {
	switch {
	case profile == "" || profile == "unconfined" && !f.AppArmor:
		return nil, nil
	case !f.AppArmor:
		return nil, fmt.Errorf("apparmor profile %q was asked for, but this kernel has no AppArmor: leave the profile out, or boot with security=apparmor", profile)
	case strings.ContainsAny(profile, "\x00\n"):
		return nil, fmt.Errorf("apparmor profile %q: a name has neither line breaks nor zero bytes", profile)
	}
	path := "/proc/self/attr/exec"
	if f.AppArmorFolder {
		path = "/proc/self/attr/apparmor/exec"
	}
	return []kernel.Call{{
		Request: kernel.WriteFile{Path: path, Data: "exec " + profile},
		Why:     "the profile says what the container may open, mount and signal, whoever it is",
	}}, nil
}

// SELinux plans the label that the next execve gives the process (selinux(8)). An empty label asks for nothing. The label of
// the container's files is a mount option and not planned here.
func SELinux(label string, f Facts) ([]kernel.Call, error) {
	switch {
	case label == "":
		return nil, nil
	case !f.SELinux:
		return nil, fmt.Errorf("selinux label %q was asked for, but this kernel has no SELinux: leave the label out, or boot with security=selinux", label)
	case strings.Contains(label, "\x00"):
		return nil, fmt.Errorf("selinux label %q: a label has no zero bytes", label)
	}
	return []kernel.Call{{
		Request: kernel.WriteFile{Path: "/proc/self/attr/exec", Data: label},
		Why:     "the label keeps the container from files and processes of other labels",
	}}, nil
}
