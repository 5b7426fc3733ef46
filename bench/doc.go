// SPDX-License-Identifier: Apache-2.0

// Command bench times stave beside the programs that do the same work, and prints two tables: of containers and of images.
//
//	bench [-table containers|images|all] [-rounds N] [-image-rounds N] [-bin FOLDER] [-cache FOLDER]
//
// A shared machine has quick and slow minutes. So the programs take turns: each round runs every one
// of them once, and what is compared are medians over all rounds, as ratios. A time goes from before
// the fork to the end of wait4(2), and includes all that the program does for its user: start, making
// the container, running /bin/true in it, taking everything down. Processor times are those of
// wait4(2): the program's own and of the processes that it waited for.
//
// # Containers
//
// The container is the one that "runc spec" describes, without a terminal, and its root file system
// holds a static busybox. The peers:
//
//   - runc and crun run the same bundle. crun 1.8 refuses the mixed layout of cgroups (v1 hierarchies
//     beside a v2 tree): there it is started inside a mount namespace that shows the v1 hierarchies
//     alone;
//   - unshare (util-linux) makes the same namespaces and nothing else: no mounts, no devices, no
//     limits. It is what the kernel costs;
//   - fork and exec of the same /bin/true is the floor.
//
// The rows "limited" are the same container with limits of memory, swap (where the kernel counts it), processor time,
// processors and processes: what it costs to make its cgroups, to set all that and to remove them. There all runtimes
// are in the namespace of crun, and so make cgroups in the same hierarchies.
//
// The rows "create+start+delete" are the sum of these three commands for a container of /bin/true; between the last two the
// container ends, untimed. The rows "exec" run /bin/true in a container that runs already. At last the memory of the
// process that waits between create and start is looked at.
//
// All three runtimes keep their containers in /run, which is a tmpfs here as on nearly every machine, whatever this one has:
// they are started in a mount namespace that is made once (view_linux.go).
//
// # Images
//
// The image has ten layers, made of the first files of this machine's /usr, 100 MB each before gzip; it is kept in the folder cache. A
// docker-registry (Debian's) serves it on loopback. Each program begins without anything of the image. What it reads is in the
// page cache before, and the file system has nothing to write any more (syncfs(2)); what it writes goes below TMPDIR, which is best on
// a file system that nobody else uses, such as a tmpfs.
//
//   - "only unpacks" is a pull when all blobs are in the store already: it asks the registry for the manifest, finds the blobs and
//     unpacks them. umoci raw unpack does this with a layout, podman pull oci: as well, having copied the layers;
//   - stave pull --unpack=false and skopeo copy fetch the blobs into a layout;
//   - stave pull and podman pull fetch and unpack.
//
// The memory is the largest resident set (getrusage(2), ru_maxrss) of the program or a child of it. stave images lists a store of 1,000
// images.
//
// A peer that is not installed, or can't do the work, is named and left out. Everything else that is
// made lies in one temporary folder, which is removed. It needs root.
//
// Read first: main.go, then table.go.
package main
