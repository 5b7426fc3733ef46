// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"debug/elf"
	_ "embed" // for modules.txt
	"encoding/binary"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// wantedModules names the kernel modules that the guest loads.
//
//go:embed modules.txt
var wantedModules string

// module is a file of the initramfs.
type module struct {
	name string
	data []byte
}

// library is the modules of a kernel.
type library struct {
	paths   map[string]string // by name: the path below kernel/
	builtin map[string]bool   // by name: part of the kernel itself
	read    func(path string) ([]byte, error)
}

// openLibrary lists lib/modules/VERSION.
func openLibrary(folder string) (library, error) {
	l := library{paths: map[string]string{}, builtin: map[string]bool{}}
	l.read = func(name string) ([]byte, error) { return readModule(filepath.Join(folder, "kernel", name)) }
	err := fs.WalkDir(os.DirFS(filepath.Join(folder, "kernel")), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			l.paths[moduleName(name)] = name
		}
		return err
	})
	if err != nil {
		return l, fmt.Errorf("modules in %s: %w", folder, err)
	}
	list, err := os.ReadFile(filepath.Join(folder, "modules.builtin"))
	for name := range strings.FieldsSeq(string(list)) {
		l.builtin[moduleName(name)] = true
	}
	return l, err
}

// moduleName is what the kernel calls the module in a file such as kernel/net/bridge/br_netfilter.ko.xz: a dash in the
// file's name is an underscore in the module's.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// words are the words of a list without its comments (#).
func words(list string) []string {
	var all []string
	for line := range strings.Lines(list) {
		line, _, _ = strings.Cut(line, "#")
		all = append(all, strings.Fields(line)...)
	}
	return all
}

// resolve reads the named modules, each after those it depends on. A name with a slash is a pattern of paths; a name
// that ends in a question mark may be missing.
func (l library) resolve(names []string) ([]module, error) {
	r := resolver{library: l, done: map[string]bool{}}
	for _, name := range names {
		wanted, optional := strings.CutSuffix(name, "?")
		if strings.Contains(wanted, "/") {
			if err := r.matching(wanted); err != nil {
				return nil, err
			}
			continue
		}
		if optional && l.paths[moduleName(wanted)] == "" {
			continue
		}
		if err := r.add(moduleName(wanted)); err != nil {
			return nil, err
		}
	}
	return r.modules, nil
}

// resolver collects modules.
type resolver struct {
	library
	done    map[string]bool
	modules []module
}

// matching adds all modules whose path matches a pattern, in order.
func (r *resolver) matching(pattern string) error {
	for _, name := range slices.Sorted(maps.Keys(r.paths)) {
		ok, err := path.Match(pattern, r.paths[name])
		if err != nil {
			return fmt.Errorf("pattern %q of modules: %w", pattern, err)
		}
		if ok {
			if err := r.add(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds one module behind its dependencies, unless it is there already or part of the kernel.
func (r *resolver) add(name string) error {
	if r.done[name] || r.builtin[name] {
		return nil
	}
	r.done[name] = true // before its dependencies: a circle of soft ones must end
	file := r.paths[name]
	if file == "" {
		return fmt.Errorf("this kernel has no module %s", name)
	}
	data, err := r.read(file)
	if err != nil {
		return fmt.Errorf("module %s: %w", file, err)
	}
	needs, err := dependencies(data)
	if err != nil {
		return fmt.Errorf("module %s: %w", file, err)
	}
	for _, need := range needs {
		if err := r.add(need); err != nil {
			return fmt.Errorf("%s, which %s needs", err, name)
		}
	}
	r.modules = append(r.modules, module{name + ".ko", withoutSignature(data)})
	return nil
}

// dependencies reads what a module needs from its section .modinfo, strings that end in NUL:
//
//	depends=9pnet,netfs
//	softdep=pre: crc32c
func dependencies(data []byte) ([]string, error) {
	file, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	section := file.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("no section .modinfo")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	return parseModinfo(string(info)), nil
}

// parseModinfo lists the hard dependencies in the content of a section .modinfo. The soft ones are aliases that modprobe
// looks up; modules.txt names what is needed of them.
func parseModinfo(info string) []string {
	var names []string
	for entry := range strings.SplitSeq(info, "\x00") {
		if list, ok := strings.CutPrefix(entry, "depends="); ok {
			for name := range strings.SplitSeq(list, ",") {
				if name != "" {
					names = append(names, moduleName(name))
				}
			}
		}
	}
	return names
}

// readModule reads a module, and unpacks it if it is compressed.
func readModule(name string) ([]byte, error) {
	data, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	if program := decompressor(data); program != "" {
		return filter(program, data)
	}
	return data, nil
}

// signed ends a signed module; before it stand the signature and a struct module_signature of 12 bytes, whose last four
// are the signature's length, big endian (Documentation/admin-guide/module-signing.rst).
const signed = "~Module signature appended~\n"

// withoutSignature cuts the signature off a module: that taints the kernel, which no test minds, and spares an emulated
// processor the check.
func withoutSignature(data []byte) []byte {
	rest, ok := bytes.CutSuffix(data, []byte(signed))
	if !ok || len(rest) < 12 {
		return data
	}
	length := int(binary.BigEndian.Uint32(rest[len(rest)-4:]))
	if length > len(rest)-12 {
		return data
	}
	return rest[:len(rest)-12-length]
}
