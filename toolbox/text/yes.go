// SPDX-License-Identifier: Apache-2.0

package text

import (
	"fmt"
	"strings"

	"stave/toolbox/tool"
)

// Yes prints a word over and over, until nobody reads any more: yes [WORD…].
func Yes(std tool.IO, args []string) int {
	text := "y"
	if len(args) > 1 {
		text = strings.Join(args[1:], " ")
	}
	many := strings.Repeat(text+"\n", 1+4096/(len(text)+1))
	for {
		if _, err := fmt.Fprint(std.Out, many); err != nil {
			return 1
		}
	}
}
