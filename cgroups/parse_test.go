// SPDX-License-Identifier: Apache-2.0

package cgroups

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// parsers are all parsers of kernel text that statistics and events need, by name.
func parsers() map[string]func(string) (any, error) {
	return map[string]func(string) (any, error){
		"pids":     func(s string) (any, error) { return parsePids(s) },
		"keyed":    func(s string) (any, error) { return parseKeyed(s) },
		"amount":   func(s string) (any, error) { return parseAmount(s) },
		"list":     func(s string) (any, error) { return parseList(s) },
		"blkio":    func(s string) (any, error) { return parseBlkio(s) },
		"io":       func(s string) (any, error) { return parseIO(s) },
		"rdma":     func(s string) (any, error) { return parseRDMA(s) },
		"oom":      func(s string) (any, error) { return parseOOM(s) },
		"pressure": func(s string) (any, error) { return parsePressure(s) },
	}
}

// TestParsers compares what is made of the kernel's text. Want nil means an error that quotes the second text.
func TestParsers(t *testing.T) {
	for name, test := range map[string]struct {
		text, quotes string
		want         any
	}{
		"pids":                   {text: "12\n7\n0\n12\n", want: []int{12, 7, 0, 12}},
		"pids of nobody":         {want: []int(nil)},
		"pids with a word":       {text: "12\nx7\n", quotes: `"x7"`},
		"pids below zero":        {text: "-1\n", quotes: `"-1"`}, // kill(2) would take it for all processes
		"pids too large":         {text: "2147483648\n", quotes: `"2147483648"`},
		"keyed":                  {text: "populated 1\nfrozen 0\n", want: map[string]uint64{"populated": 1, "frozen": 0}},
		"keyed of nothing":       {want: map[string]uint64{}},
		"keyed without number":   {text: "cache 1\nrss\n", quotes: "rss"},
		"keyed with more":        {text: "cache 1 2\n", quotes: "cache 1 2"},
		"amount":                 {text: "4096\n", want: uint64(4096)},
		"amount max":             {text: "max\n", want: uint64(Unlimited)},
		"amount -1":              {text: "-1\n", want: uint64(Unlimited)},
		"amount of 4 KiB pages":  {text: "9223372036854771712\n", want: uint64(Unlimited)},
		"amount of 64 KiB pages": {text: "9223372036854710272\n", want: uint64(Unlimited)},
		"amount large":           {text: "9007199254740992\n", want: uint64(1 << 53)},
		"amount of nothing":      {quotes: `""`},
		"list":                   {text: "88329 10210 \n", want: []uint64{88329, 10210}},
		"list with a word":       {text: "1 two\n", quotes: `"two"`},
		"blkio": {
			text: "8:16 Read 4096\n8:16 Write 0\n8:16 Total 4096\n253:0 Read 1\nTotal 4097\n",
			want: map[Device]map[string]uint64{{8, 16}: {"Read": 4096, "Write": 0, "Total": 4096}, {253, 0}: {"Read": 1}},
		},
		"blkio of nothing":      {text: "Total 0\n", want: map[Device]map[string]uint64{}},
		"blkio short":           {text: "8:16 4096\n", quotes: "8:16 4096"},
		"blkio without number":  {text: "8:16 Read x\n", quotes: "8:16 Read x"},
		"blkio without device":  {text: "8 Read 1\n", quotes: `"8"`},
		"io":                    {text: ioText, want: []IOStats{{Device{7, 2}, 0, 0, 0, 0, 0, 0}, {Device{8, 16}, 1459200, 314773504, 5, 192, 353, 6}}},
		"io of nothing":         {want: []IOStats{}},
		"io with a word":        {text: "8:16 rbytes=x\n", quotes: "rbytes=x"},
		"io without device":     {text: "rbytes=1\n", quotes: "rbytes=1"},
		"rdma":                  {text: "mlx4_0 hca_handle=2 hca_object=max\n", want: map[string]RDMAObjects{"mlx4_0": {2, Unlimited}}},
		"rdma without number":   {text: "mlx4_0 hca_handle\n", quotes: "hca_handle"},
		"oom v1":                {text: "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", want: uint64(3)},
		"oom v2":                {text: "low 0\nhigh 0\nmax 9\noom 2\noom_kill 1\noom_group_kill 0\n", want: uint64(1)},
		"oom of an old kernel":  {text: "oom_kill_disable 0\nunder_oom 0\n", quotes: "4.13"},
		"pressure":              {text: pressureText, want: &Pressure{&Stall{0.12, 0.05, 0.01, 183294 * time.Microsecond}, &Stall{}}},
		"pressure some only":    {text: strings.SplitAfter(pressureText, "\n")[0], want: &Pressure{Some: &Stall{0.12, 0.05, 0.01, 183294 * time.Microsecond}}},
		"pressure cut off":      {text: "some avg10=0.12 avg60=0.05\n", quotes: "avg60=0.05"},
		"pressure of words":     {text: strings.ReplaceAll(pressureText, "0.05", "much"), quotes: "avg60=much"},
		"pressure back in time": {text: strings.ReplaceAll(pressureText, "183294", "-1"), quotes: "total=-1"},
	} {
		t.Run(name, func(t *testing.T) {
			parser, _, _ := strings.Cut(name, " ")
			got, err := parsers()[parser](test.text)
			if test.want == nil {
				if err == nil || !strings.Contains(err.Error(), test.quotes) {
					t.Errorf("got %v and the error %v, want one that quotes %s", got, err, test.quotes)
				}
				return
			}
			if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
				t.Errorf("error %v, difference:\n%s", err, diff)
			}
		})
	}
}

const (
	// ioText is io.stat with a device that has no numbers, and keys of the cost model.
	ioText = "8:16 rbytes=1459200 wbytes=314773504 rios=192 wios=353 dbytes=5 dios=6 cost.vrate=100.00 cost.usage=1\n7:2 \n"
	// pressureText is memory.pressure.
	pressureText = "some avg10=0.12 avg60=0.05 avg300=0.01 total=183294\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
)

// FuzzParsers gives any text to all parsers: an error comes without a value, and what was read as keys and numbers is
// read the same once more when it is written again.
func FuzzParsers(f *testing.F) {
	for _, text := range []string{"1\n0\n", "frozen 1\n", "max\n", "8:0 Read 1\nTotal 1\n", ioText, pressureText, "a hca_object=max\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for name, parser := range parsers() {
			if value, err := parser(text); err != nil && !reflect.ValueOf(value).IsZero() {
				t.Errorf("%s: %v with the error %v", name, value, err)
			}
		}
		if values, err := parseKeyed(text); err == nil {
			var again strings.Builder
			for key, value := range values {
				fmt.Fprintf(&again, "%s %d\n", key, value)
			}
			reread, err := parseKeyed(again.String())
			if diff := cmp.Diff(values, reread); err != nil || diff != "" {
				t.Errorf("error %v, read again:\n%s", err, diff)
			}
		}
	})
}
