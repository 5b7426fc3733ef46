// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/docker/go-units"
	"github.com/opencontainers/go-digest"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"stave/engine/images"
)

// progress shows how the layers of one image come along: bars on a terminal, elsewhere a line for each thing that happens.
type progress interface {
	// layer is told of one layer.
	layer(images.Progress)
	// end is called when all is done or has failed.
	end()
}

// newProgress shows progress on a file.
func newProgress(w *os.File, words map[images.State]string) progress {
	if isTerminal(w) {
		return newBars(w, words)
	}
	return lines{w, words}
}

// isTerminal tells whether a file is a terminal.
func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// pullWords are docker's words for what happens to a layer that is pulled.
func pullWords() map[images.State]string {
	return map[images.State]string{
		images.Waiting: "Pulling fs layer", images.Exists: "Already exists", images.Moving: "Downloading",
		images.Moved: "Download complete", images.Complete: "Pull complete",
	}
}

// pushWords are docker's words for what happens to a layer that is pushed.
func pushWords() map[images.State]string {
	return map[images.State]string{
		images.Waiting: "Preparing", images.Exists: "Layer already exists", images.Mounted: "Mounted",
		images.Moving: "Pushing", images.Moved: "Pushed",
	}
}

// lines shows progress as lines.
type lines struct {
	w     io.Writer
	words map[images.State]string
}

// layer prints a line, but none for every few bytes.
func (l lines) layer(p images.Progress) {
	if p.State != images.Moving {
		fmt.Fprintf(l.w, "%s: %s\n", images.Short(p.Layer.Digest), l.words[p.State])
	}
}

// end has nothing to do: each line stands for itself.
func (l lines) end() {}

// bars shows progress as bars, one for each layer, in their order.
type bars struct {
	words  map[images.State]string
	all    *mpb.Progress
	layers map[digest.Digest]*bar
}

// bar is that of one layer.
type bar struct {
	*mpb.Bar
	state atomic.Int32
}

// newBars shows bars on a terminal.
func newBars(w io.Writer, words map[images.State]string) *bars {
	return &bars{words: words, all: mpb.New(mpb.WithOutput(w), mpb.WithAutoRefresh(), mpb.WithWidth(50)), layers: map[digest.Digest]*bar{}}
}

// layer moves the bar of a layer. Bytes that are there count as moved, so that the bar is full in the end.
func (b *bars) layer(p images.Progress) {
	one := b.layers[p.Layer.Digest]
	if one == nil {
		one = b.add(p)
		b.layers[p.Layer.Digest] = one
	}
	one.state.Store(int32(p.State))
	one.SetCurrent(p.Offset)
}

// add adds the bar of a layer:
//
//	4f4fb700ef54: Downloading [=====>        ] 1.2MB/3.4MB
func (b *bars) add(p images.Progress) *bar {
	one := &bar{}
	state := func(decor.Statistics) string { return b.words[images.State(one.state.Load())] }
	sizes := func(s decor.Statistics) string {
		if images.State(one.state.Load()) != images.Moving {
			return ""
		}
		return units.HumanSizeWithPrecision(float64(s.Current), 3) + "/" + units.HumanSizeWithPrecision(float64(s.Total), 3)
	}
	style := mpb.BarStyle().Lbound("[").Filler("=").Tip(">").Padding(" ").Rbound("]")
	one.Bar = b.all.New(0, style,
		mpb.PrependDecorators(decor.Name(images.Short(p.Layer.Digest)+": "), decor.Any(state, decor.WC{W: 18, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.Any(sizes)))
	one.SetTotal(max(p.Layer.Size, 1), false)
	return one
}

// end leaves the bars as they are.
func (b *bars) end() {
	for _, one := range b.layers {
		one.Abort(false)
	}
	b.all.Wait()
}
