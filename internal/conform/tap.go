// SPDX-License-Identifier: Apache-2.0

package conform

import (
	"fmt"
	"strconv"
	"strings"
)

// score is what a runtime reaches in one file of the validation.
type score struct {
	passed     bool
	good, sum  int    // assertions that hold, and all
	complaints string // what failed, a line each; not kept in the table
}

// judge reads what a validation program printed, which is TAP version 13 (testanything.org), and how it ended. A line
// begins with the verdict, and a block of YAML may explain the line before it:
//
//	ok 3 - kill of a running container
//	  ---
//	  {
//	    "error": "exit status 1",
//	…
//	  ...
//	not ok 4 - …
//	ok 5 # SKIP not on this kernel
//	1..5
//
// The plan, 1..5, may come first or last; a program of two parts prints two.
// Programs that test hooks have no lines but this block, and it holds an error only if they failed. Elsewhere the error
// after an ok is one that had to come. So a block counts only where no line precedes it.
func judge(output string, code int) score {
	var s score
	var complaints []string
	planned := 0
	for line := range strings.Lines(output) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, "ok "):
			s.good, s.sum = s.good+1, s.sum+1
		case strings.HasPrefix(line, "not ok "):
			s.sum++
			complaints = append(complaints, line)
		case strings.HasPrefix(line, "1.."):
			if n, err := strconv.Atoi(line[len("1.."):]); err == nil {
				planned += n
			}
		case s.sum == 0 && strings.HasPrefix(strings.TrimSpace(line), `"error":`):
			complaints = append(complaints, strings.TrimSpace(line))
		}
	}
	if code != 0 {
		complaints = append(complaints, fmt.Sprintf("exit code %d", code))
	}
	if planned != s.sum {
		complaints = append(complaints, fmt.Sprintf("%d assertions, where %d were planned", s.sum, planned))
	}
	s.passed, s.complaints = len(complaints) == 0, strings.Join(complaints, "\n")
	return s
}

// String is the score as the table has it: "+4" if the file passes with four assertions, "-3/5" if it fails and three
// of five hold.
func (s score) String() string {
	if s.passed {
		return fmt.Sprintf("+%d", s.good)
	}
	return fmt.Sprintf("-%d/%d", s.good, s.sum)
}
