// SPDX-License-Identifier: Apache-2.0

// Package engine holds what turns one container into many: images and containers that are kept in files, and found again.
//
// Package images joins registries with unpacked layers; package containers joins layers with a container's own files. Both
// keep their state in folders below one, the state folder (/var/lib/stave), where each change is a rename, so that several
// commands may work on it at once and none that is killed leaves it broken.
package engine
