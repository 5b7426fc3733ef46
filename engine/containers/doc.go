// SPDX-License-Identifier: Apache-2.0

// Package containers keeps containers made from images: each has a folder, below the folder containers of the state.
//
//	containers/
//	  ID/
//	    container.json   what it is: image, layers, driver, command, how it ended
//	    lock             flocked by whoever changes it, and by the stave that runs it, as long as it lives
//	    paused           while a command has paused it, flocked by that
//	    diff/ work/ …    what its driver keeps: the writable layer
//	    merged/          where its root file system is mounted, in its own mount namespace only
//
// A folder without container.json is temporary: it goes with the process that made it. So does one whose record says that
// it removes itself, and one whose making was cut off. [Containers.Sweep] finds those that a killed stave left: nobody holds their
// lock, and the runtime knows no process of theirs.
//
// One stave at a time makes folders and sweeps, under the lock of the folder containers itself; running containers hold
// only their own.
//
// Read first: store.go, then container.go.
package containers
