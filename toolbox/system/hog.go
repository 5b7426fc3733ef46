// SPDX-License-Identifier: Apache-2.0

package system

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"stave/toolbox/tool"
)

// Hog uses memory or CPU, for the lessons on limits: hog mem SIZE [--hold TIME], hog cpu [N] [--for TIME].
func Hog(std tool.IO, args []string) int {
	o, err := tool.Parse(args[1:], "H:F:", "hold=H", "for=F")
	if err == nil && (len(o.Args) == 0 || o.Args[0] != "mem" && o.Args[0] != "cpu" || o.Args[0] == "mem" && len(o.Args) < 2) {
		err = fmt.Errorf("usage: hog mem SIZE [--hold TIME] | hog cpu [N] [--for TIME]")
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	if o.Args[0] == "mem" {
		err = hogMemory(std, o.Args[1], o.Value('H', "0"))
	} else {
		err = hogCPU(std, append(o.Args, "1")[1], o.Value('F', "infinity"))
	}
	if err != nil {
		return std.Fail(args[0], err)
	}
	return 0
}

// hogMemory takes anonymous memory from the kernel and writes to every page, because only a page that was written is counted.
// It says how much it holds after each tenth, so that one sees where a limit struck.
func hogMemory(std tool.IO, sizeText, holdText string) error {
	size, err := tool.ParseSize(sizeText)
	if err != nil {
		return err
	}
	hold, err := parsePause(holdText)
	if err != nil {
		return err
	}
	memory, err := unix.Mmap(-1, 0, int(max(size, 1)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("%s of memory: %w", sizeText, err)
	}
	defer func() { _ = unix.Munmap(memory) }()
	step := max(len(memory)/10, 1)
	for at, told := 0, 0; at < len(memory); at += os.Getpagesize() {
		memory[at] = 1
		if at-told >= step {
			told = at
			fmt.Fprintf(std.Out, "holding %s\n", tool.Human(uint64(at)))
		}
	}
	fmt.Fprintf(std.Out, "holding %s\n", tool.Human(uint64(size)))
	time.Sleep(hold)
	return nil
}

// hogCPU keeps n threads busy for a time and says how much CPU time they got.
func hogCPU(std tool.IO, countText, forText string) error {
	n, err := strconv.Atoi(countText)
	if err != nil || n < 1 {
		return fmt.Errorf("%s: not a number of threads", countText)
	}
	limit, err := parsePause(forText)
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(max(n, runtime.GOMAXPROCS(0)))
	start := time.Now()
	var busy sync.WaitGroup
	for range n {
		busy.Go(func() {
			runtime.LockOSThread()
			for time.Since(start) < limit {
			}
		})
	}
	busy.Wait()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return err
	}
	wall, cpu := time.Since(start), time.Duration(used.Utime.Nano()+used.Stime.Nano())
	fmt.Fprintf(std.Out, "%d threads got %.2fs of CPU in %.2fs: %.0f%% of one CPU\n", n, cpu.Seconds(), wall.Seconds(), 100*cpu.Seconds()/wall.Seconds())
	return nil
}
