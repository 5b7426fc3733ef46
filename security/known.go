// SPDX-License-Identifier: Apache-2.0

package security

import (
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// SeccompActions lists the actions [Compile] knows.
func SeccompActions() []string {
	return names(specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActTrap, specs.ActErrno,
		specs.ActTrace, specs.ActAllow, specs.ActLog, specs.ActNotify)
}

// SeccompOperators lists the comparisons of arguments that [Compile] knows.
func SeccompOperators() []string {
	return names(specs.OpNotEqual, specs.OpLessThan, specs.OpLessEqual, specs.OpEqualTo, specs.OpGreaterEqual,
		specs.OpGreaterThan, specs.OpMaskedEqual)
}

// SeccompArchitectures lists the architectures that a profile for this machine may name.
func SeccompArchitectures() []string {
	var list []string
	for _, a := range abis(runtime.GOARCH) {
		list = append(list, string(a.name))
		if a.x32 {
			list = append(list, string(specs.ArchX32))
		}
	}
	return list
}

// names turns the specification's own string types into strings.
func names[T ~string](values ...T) []string {
	list := make([]string, len(values))
	for i, v := range values {
		list[i] = string(v)
	}
	return list
}
