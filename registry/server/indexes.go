// SPDX-License-Identifier: Apache-2.0

package server

import (
	"os"
	"sync"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// indexes remembers the indexes that were read last: that of a repository with thousands of tags takes longer to understand than all
// else that a request needs. Whoever writes an index makes a new file of it, so one whose file is the same has not changed.
type indexes struct {
	lock sync.Mutex
	of   map[string]readIndex // by folder
}

// readIndex is an index and the file that it was read from.
type readIndex struct {
	file  os.FileInfo
	index ocispec.Index
}

// maxIndexes bounds the memory that indexes takes; then it starts anew.
const maxIndexes = 64

// get is the index of a folder, if it was read from the very file.
func (x *indexes) get(folder string, file os.FileInfo) (ocispec.Index, bool) {
	x.lock.Lock()
	defer x.lock.Unlock()
	last, known := x.of[folder]
	same := known && os.SameFile(last.file, file) && last.file.ModTime().Equal(file.ModTime()) && last.file.Size() == file.Size()
	return last.index, same
}

// settled is how old a file has to be to be remembered: two files that are written one soon after the other can have one time, and
// one inode number.
const settled = time.Second

// put remembers an index. The file was looked at before it was read, so that one that changes meanwhile is read again.
func (x *indexes) put(folder string, file os.FileInfo, index ocispec.Index) {
	if time.Since(file.ModTime()) < settled {
		return
	}
	x.lock.Lock()
	defer x.lock.Unlock()
	if x.of == nil || len(x.of) >= maxIndexes {
		x.of = map[string]readIndex{}
	}
	x.of[folder] = readIndex{file, index}
}
