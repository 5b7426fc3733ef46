// SPDX-License-Identifier: Apache-2.0

// Command tally runs the checks and the tests of the Makefile, says in few lines how they went, and counts them.
//
//	tally step FILE NAME COMMAND…    run a check: it passes if the command exits with 0
//	tally quiet FILE NAME COMMAND…   the same, but it must not print anything either
//	tally test FILE COMMAND…         run "go test -json": print a line for each package, and what failed
//	tally sum FILE…                  print the skips, and as the last line "N passed, N failed, N skipped"
//
// FILE keeps the events in the form of go test -json (see go doc test2json); the first three add to it. A test that is
// in several files counts once: it failed if it failed in any, and passed if it ran in one and was skipped in another.
// So the tests that the unit tier leaves to the root tier are not counted as skipped when that has run.
//
// A test that fails is tried once more by itself, unless more than five failed. If it passes then it counts as passed, and
// sum names it: something about it, or about what it tests, is a matter of chance, and is to be mended.
//
// Each verb exits with 1 if something failed. With CI=true in the environment, sum counts a skip as a failure unless
// its reason starts with a line of allowed.txt.
//
// Read events.go first.
package main
