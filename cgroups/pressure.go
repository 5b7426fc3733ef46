// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Pressure is the time that was lost in waiting for one resource (Documentation/accounting/psi.rst).
type Pressure struct {
	// Some is the time in which some task waited, Full the time in which all that could have run did. Nil is what the
	// kernel does not measure: it has no Full for the processor before 5.13.
	Some, Full *Stall
}

// Stall says how much of the time tasks waited.
type Stall struct {
	// Avg10, Avg60 and Avg300 are averages over the last 10, 60 and 300 seconds, in percent of that time.
	Avg10, Avg60, Avg300 float64
	// Total is all of it since the group was made, counted in microseconds.
	Total time.Duration
}

// parsePressure reads a pressure file:
//
//	some avg10=0.12 avg60=0.05 avg300=0.01 total=183294
//	  1     2          3          4           5
func parsePressure(text string) (*Pressure, error) {
	var p Pressure
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) != 5 {
			return nil, fmt.Errorf("%q is not a line of pressure", line)
		}
		var s Stall
		for i, average := range []*float64{&s.Avg10, &s.Avg60, &s.Avg300} {
			_, value, _ := strings.Cut(words[i+1], "=")
			var err error
			if *average, err = strconv.ParseFloat(value, 64); err != nil {
				return nil, fmt.Errorf("%q in %q is not a percentage", words[i+1], line)
			}
		}
		_, value, _ := strings.Cut(words[4], "=")
		total, err := strconv.ParseInt(value, 10, 64)
		if err != nil || total < 0 {
			return nil, fmt.Errorf("%q in %q is not a time in microseconds", words[4], line)
		}
		s.Total = time.Duration(total) * time.Microsecond
		switch words[0] {
		case "some":
			p.Some = &s
		case "full":
			p.Full = &s
		}
	}
	return &p, nil
}
