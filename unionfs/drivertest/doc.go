// SPDX-License-Identifier: Apache-2.0

// Package drivertest is one suite that every driver of layers runs: whatever makes a root file system of layers, what is seen and
// written there must be the same.
//
// A driver's own test calls [Run] with a way to make the driver in a new folder. Layers are written as folders the way package
// layer unpacks them; expectations are plain trees. Each test looks at the root from outside, through [unionfs.Driver.View], or
// as a container sees it, through the driver's calls in a mount namespace of a process of its own.
//
// Read suite.go first, then tree.go and mounted.go.
package drivertest
