// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"stave/container"
)

// events prints what a container uses, again and again until it ends, and what happens to its memory.
func events(g globals, args []string) (int, error) {
	const usual = 5 * time.Second
	flags := flag.NewFlagSet("events", flag.ContinueOnError)
	interval := flags.Duration("interval", usual, "`time` from one line to the next, such as 500ms or 1m")
	once := flags.Bool("stats", false, "print one line and end")
	return onContainer(g, flags, args, func(i *container.Instance) error {
		if *interval <= 0 {
			return fmt.Errorf("--interval %v: a time above 0", *interval)
		}
		out := json.NewEncoder(os.Stdout)
		if !*once {
			return i.Events(*interval, func(e container.Event) error { return out.Encode(e) })
		}
		u, err := i.Usage()
		if err != nil {
			return err
		}
		return out.Encode(container.Event{Type: "stats", ID: i.ID, Data: u})
	})
}
