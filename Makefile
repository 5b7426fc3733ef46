# SPDX-License-Identifier: Apache-2.0
#
# `make help` lists what can be made. On a fresh machine (Debian and Go) `sudo make run` and `sudo make test` are enough.

# sudo may leave Go out of PATH; tests call it by its name.
GO := $(firstword $(shell command -v go) $(wildcard /usr/local/go/bin/go /usr/lib/go/bin/go))
export PATH := $(PATH):$(dir $(GO)):/usr/local/sbin:/usr/sbin:/sbin
export HOME ?= $(CURDIR)/build/home
export CGO_ENABLED := 0
export GOFLAGS := -buildvcs=false $(filter-out -buildvcs%,$(GOFLAGS))

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
PROGRAMS := $(notdir $(wildcard cmd/*))
TALLY := build/tally
LINTERS := build/tools/gofumpt build/tools/staticcheck build/tools/benchstat
USER_ID := $(shell id -u)

# What the tests use besides Go: a command or file, and the Debian package that brings it.
NEEDED := runc:runc crun:crun busybox:busybox-static debootstrap:debootstrap newuidmap:uidmap \
	unshare:util-linux ip:iproute2 git:git dbus-daemon:dbus-daemon busctl:systemd \
	podman:podman conmon:conmon containerd:containerd \
	docker-registry:docker-registry skopeo:skopeo umoci:umoci buildah:buildah htpasswd:apache2-utils \
	fuse-overlayfs:fuse-overlayfs mkfs.btrfs:btrfs-progs mkfs.xfs:xfsprogs dockerd:docker.io
CERTIFICATES := /etc/ssl/certs/ca-certificates.crt:ca-certificates

# What a test may not skip: the root tier runs as root, and in CI all of the above has been installed.
PROMISED := root
ifeq ($(CI),true)
PROMISED += $(foreach pair,$(NEEDED),command:$(firstword $(subst :, ,$(pair))))
endif

# The packages whose tests the tiers 1 and 2 run: all but the root's, whose tests are part of `make check`.
PACKAGES = $$($(GO) list -e ./... | grep -v '^stave$$')

# What the tier vm needs besides, on an x86-64 machine; and what its kernel has to have.
NEEDED_VM := qemu-system-x86_64:qemu-system-x86 debootstrap:debootstrap mkfs.ext4:e2fsprogs xz:xz-utils unshare:util-linux
# What not every Debian has, and what apt-get then does not refuse all the others for; tests skip without it.
WISHED_VM := criu:criu
PROMISED_VM := root $(addprefix cgroup2:,cpu cpuset hugetlb io memory pids rdma) apparmor seccomp filesystem:overlay

# What the tier vm runs there: all that cgroup v2, a distribution's kernel or systemd may change, with -short, since the
# processor is emulated: tests that repeat a thing thousands of times do it less often. The slow ones come first. Left
# out are the steps that have nothing to do with cgroups, and tests that take half a minute and more there and that no
# kernel changes: of scripts (TestScriptOfTheLab runs one), refusals, exit codes, hooks that fail, attacks and races for paths, ten megabytes,
# machine code of a function, and of device rules without a kernel; and the comparison of rootless containers, as runc makes none at the top of v2. The
# programs are built here: to link one takes a minute there.
VM_PACKAGES := ./cmd/... ./chroot ./cgroups $(wildcard ./steps/12-* ./steps/13-* ./steps/21-*) ./internal/witness ./security/... ./namespaces ./kernel ./container/... ./unionfs
VM_SKIP := ^TestScriptMakesTheSame|^TestScriptPassesExitCodesOn|^TestChildPath|^TestRefusals$$|^TestSetUpCannotBeWatched|^TestWorkingFolder|^TestHostileMountPoints|^TestManyBytes|^TestRandomDevices|^TestDeviceProgramTooLong|^FuzzDevices|^TestSameAsRuncRootless
VM_SKIP := $(VM_SKIP)|^TestExitCodes|^TestSameKeysAsRunc|^TestDescriptors$$|^TestNetDevices|^TestStartContainerRights|^TestHooksThatFail|^TestMistakes|^TestSignalsAreForwarded|^TestExecIsReaped|^TestCommandThroughDescriptor|^TestProgramCannotBeOverwritten|Swapped$$|^TestNullOfTheImage|^TestNamesThatClimb|^TestFakeProc
# Of images, what joins layers is tested there: an older kernel takes other ways. The overlay of its user namespaces, now and then,
# refuses to write to a file with a set-group-ID bit (EOVERFLOW), which random operations find.
VM_SKIP := $(VM_SKIP)|^TestImage|^TestRegistry|^TestCommitLikePodman|LikeDocker$$|^TestKnowsAllOfDocker|^TestLoginOn|^TestPullOn|^TestKilledStaveOfAnImage|^TestKilled$$|^TestCrash$$|^TestInherit$$|^TestCollect$$|^TestTakeOver$$|^TestCancelled$$|^TestRemoveDeep$$|^TestRootless$$/^random$$|^TestUnpack$$|^TestCompressed$$|^TestFullDisk$$
ifeq ($(origin PACKAGES),command line)
VM_PACKAGES := $(PACKAGES)
endif
# The packages whose tests TestSystemd… and TestRootless… run under systemd, as a service of root and of an ordinary user.
having = $(addprefix ./,$(sort $(dir $(shell grep -ls '^func $(1)' $(addsuffix /*_test.go,cgroups container cmd/*)))))
# Whether this machine boots one, and why not: a command of the shell, and words.
ifneq ($(shell uname -m),x86_64)
HAS_VM := false
NO_VM := it boots an x86-64 kernel, and this machine runs none
else
HAS_VM = { command -v qemu-system-x86_64 >/dev/null || [ "$(CI)" = true ]; }
NO_VM := there is no qemu-system-x86_64
endif
VM := $(CURDIR)/build/vm/run -kernel $(CURDIR)/build/vm/kernel
VM_SYSTEMD := $(VM) -systemd $(CURDIR)/build/vm/debian.img -show $(CURDIR)
VM_TEST := $(TALLY) test build/vm.json $(GO) test -json -count=1 -p 2 -timeout 15m -short

# What the tier conform builds: the programs of the OCI runtime-tools, the suite of the OCI distribution-spec, stave-oci
# and stave. RUNTIME takes another runtime, and RUN a part of the tier (see internal/conform/doc.go).
CONFORM := $(CURDIR)/build/conform
RUNTIME_TOOLS := github.com/opencontainers/runtime-tools
DISTRIBUTION_SUITE := github.com/opencontainers/distribution-spec/conformance
RUN := Test
CONFORM_TEST = $(TALLY) test build/conform.json env STAVE_CONFORM="$(CONFORM)" STAVE_RUNTIME="$(RUNTIME)" $(GO) test -json -count=1 -parallel 4 -timeout 15m

# What of the validation runs in a virtual machine: what it adds are a container on version 2 and all capabilities.
CONFORM_VM := ^TestValidation$$/unified/^(create|default|kill|linux_devices|linux_ns_nopath|linux_uid_mappings|mounts|process|process_capabilities|start|state)$$

# All checks of staticcheck, without exception.
STATICCHECKS := all

# What `make run` does in the container: it shows the container's own view.
LOOK := echo "I am process $$$$ on $$(hostname). All processes that I see:"; ps; \
	echo; echo "My mounts:"; mount; \
	echo; echo "My network links:"; ip link; \
	echo; echo "My capabilities:"; grep Cap /proc/self/status

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help build run check unit root vm conform conform-vm test bench clean need-go need-root need-vm

help: ## say what can be made
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

build: need-go ## build the programs into bin/, static
	@tools/install $(CERTIFICATES)
	@mkdir -p bin
	@$(GO) build -trimpath -ldflags "$(LDFLAGS)" -o bin/ $(PROGRAMS:%=./cmd/%)

run: need-root build ## build, then run a first container that shows what it sees (root; no network, no image)
	@bin/stave run lab sh -c '$(LOOK)'

check: $(TALLY) $(LINTERS) ## tier 0: form, vet, staticcheck, go fix, imports, comments, sizes, links
	@echo "check"; rm -f build/check.json; bad=0; \
	$(TALLY) quiet build/check.json gofumpt build/tools/gofumpt -l . || bad=1; \
	$(TALLY) step build/check.json "go vet" $(GO) vet ./... || bad=1; \
	$(TALLY) step build/check.json staticcheck build/tools/staticcheck -checks $(STATICCHECKS) ./... || bad=1; \
	$(TALLY) quiet build/check.json "go fix" $(GO) fix -diff ./... || bad=1; \
	$(TALLY) test build/check.json $(GO) test -json . || bad=1; \
	exit $$bad

unit: $(TALLY) ## tier 1: all tests that need no root
	@echo "unit"; rm -f build/unit.json
	@STAVE_TIER=unit $(TALLY) test build/unit.json $(GO) test -json $(PACKAGES)

root: need-root $(TALLY) ## tier 2: all tests, with the real kernel, one package at a time (root)
	@echo "root"; rm -f build/root.json
	@STAVE_TIER=root STAVE_PROMISED="$(PROMISED)" \
	$(TALLY) test build/root.json $(GO) test -json -count=1 -p 1 -timeout 20m $(PACKAGES)

vm: need-root $(TALLY) need-vm build/vm/run build/vm/kernel/vmlinux build/vm/debian.img ## tier 3: tests in throw-away machines with cgroup v2, and with systemd (root)
	@echo "vm"; rm -rf build/vm.json build/vm/coverage; mkdir -p build/vm/coverage; bad=0; \
	STAVE_TIER=unit STAVE_VM="$(VM)" STAVE_VM_SYSTEMD="$(VM_SYSTEMD)" $(VM_TEST) ./internal/vm || bad=1; \
	$(GO) build -o build/vm/steps/ $(addsuffix /,$(wildcard ./steps/12-* ./steps/13-* ./steps/21-*)) && \
	$(GO) build -ldflags "-s -w -X main.version=1.2.3-test" -o build/vm/programs/ ./cmd/... ./cmd/stave-oci/testdata/inside || exit 1; \
	export STAVE_TIER=vm STAVE_PROMISED="$(PROMISED_VM)" STAVE_STEPS="$(CURDIR)/build/vm/steps" STAVE_PROGRAMS="$(CURDIR)/build/vm/programs"; \
	$(VM_TEST) -coverprofile build/vm/coverage/machine -skip '$(VM_SKIP)' -exec "$(VM)" $(VM_PACKAGES) || bad=1; \
	export STAVE_PROMISED=systemd; \
	run() { [ -z "$$4" ] || $(VM_TEST) -coverprofile build/vm/coverage/$$1 -run "^$$2" -exec "$(VM_SYSTEMD)$$3" $$4 || bad=1; }; \
	run systemd TestSystemd "" "$(call having,TestSystemd)"; \
	export STAVE_PROMISED=; \
	run rootless TestRootless " -user tester" "$(call having,TestRootless)"; \
	exit $$bad

conform: need-root $(TALLY) $(CONFORM)/validation/runtimetest $(CONFORM)/distribution ## tier 4: what others ask of an OCI runtime and registry: validation, podman, containerd (root)
	@tools/install $(NEEDED)
	@echo "conform"; rm -f build/conform.json; bad=0; \
	$(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $(CONFORM)/ ./cmd/stave-oci ./cmd/stave || exit 1; \
	STAVE_TIER=root STAVE_PROMISED="$(PROMISED)" $(CONFORM_TEST) -run '$(RUN)' ./internal/conform || bad=1; \
	if [ "$(RUN)" = Test ] && $(HAS_VM); then $(MAKE) --no-print-directory conform-vm || bad=1; fi; \
	sed -n 's/.*"Output":".*go:[0-9]*: conform \(.*\)\\n"}$$/    \1/p' build/conform.json | sort; \
	exit $$bad

# The part of conform that runs in a virtual machine.
conform-vm: need-vm build/vm/run build/vm/kernel/vmlinux
	@STAVE_TIER=vm STAVE_PROMISED=root $(CONFORM_TEST) -exec "$(VM)" -run '$(CONFORM_VM)' ./internal/conform

test: need-go ## install what is missing, run every tier that this machine can, count
	@mkdir -p build; rm -f build/*.json build/summary
	@tools/install $(NEEDED) $(CERTIFICATES)
	@[ $(USER_ID) -ne 0 ] || tools/install $(NEEDED_VM)
	@tiers="check unit"; \
	if [ $(USER_ID) -ne 0 ]; then echo "left out: root, vm and conform (not root; sudo make test runs them)"; \
	elif $(HAS_VM); then tiers="$$tiers root vm conform"; \
	else tiers="$$tiers root conform"; echo "left out: vm ($(NO_VM))"; fi; \
	for tier in $$tiers; do $(MAKE) --no-print-directory $$tier; done; \
	echo "sum"; $(TALLY) sum $$(printf 'build/%s.json ' $$tiers) >build/summary; bad=$$?; \
	cat build/summary; exit $$bad

bench: need-root build ## time stave beside the peers that are installed (root)
	@tools/install $(NEEDED)
	@$(GO) run ./bench

clean: ## remove what was built
	@rm -rf bin build

$(TALLY): $(wildcard internal/tally/*) | need-go
	@tools/install $(CERTIFICATES)
	@$(GO) build -o $@ ./internal/tally

build/tools/%: tools/go.mod tools/go.sum | need-go
	@echo "building $* (the first time takes minutes)"
	@$(GO) build -C tools -o ../$@ $$(awk '/\/$*$$/ && !/^module/ {print $$1; exit}' tools/go.mod)

$(CONFORM)/validation/runtimetest: tools/conform/go.mod tools/conform/go.sum | need-go
	@echo "building the programs of runtime-tools (the first time takes a minute)"
	@mkdir -p $(@D)
	@$(GO) build -C tools/conform -ldflags "-s -w" -o $(@D)/ $(RUNTIME_TOOLS)/validation/... $(RUNTIME_TOOLS)/cmd/runtimetest
	@install -m 644 "$$($(GO) list -C tools/conform -m -f '{{.Dir}}' $(RUNTIME_TOOLS))"/rootfs-*.tar.gz $(@D)/

$(CONFORM)/distribution: tools/distribution/go.mod tools/distribution/go.sum | need-go
	@echo "building the distribution-spec's suite (the first time takes a minute)"
	@mkdir -p $(@D)
	@$(GO) test -C tools/distribution -c -ldflags "-s -w" -o $@ $(DISTRIBUTION_SUITE)

build/vm/run: $(wildcard internal/vm/*) | need-go
	@mkdir -p build/vm
	@$(GO) build -trimpath -ldflags "-s -w" -o $@.new ./internal/vm && mv $@.new $@

build/vm/kernel/vmlinux: tools/kernel | need-vm build/vm/run
	@tools/kernel build/vm/kernel
	@build/vm/run -unpack build/vm/kernel

build/vm/debian.img: tools/debian | need-root need-vm
	@mkdir -p build/vm
	@tools/debian $@

need-vm:
	@tools/install $(NEEDED_VM)
	@tools/install $(WISHED_VM)

need-go:
	@[ -n "$(GO)" ] || { echo "make: Go is not in PATH nor in /usr/local/go: see https://go.dev/dl"; exit 1; }

need-root:
	@[ $(USER_ID) -eq 0 ] || { echo "make: this needs root: sudo make $(MAKECMDGOALS)"; exit 1; }
