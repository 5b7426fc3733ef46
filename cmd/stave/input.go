// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// interruptible is a context that the first signal to end ends, so that what a command began is taken back. The second ends the program.
// At a terminal one key is two signals for a stave that was started again: the terminal's own, and that which the first stave passes on.
func interruptible(parent context.Context) (context.Context, func()) {
	ctx, stop := signal.NotifyContext(parent, unix.SIGINT, unix.SIGTERM)
	context.AfterFunc(ctx, func() {
		if os.Getenv(againVariable) != "" {
			time.Sleep(time.Second)
		}
		stop()
	})
	return ctx, stop
}

// answer waits for what can't be interrupted, such as a line of a terminal, until the context ends. What waits is left behind: the
// program is about to end.
func answer[T any](ctx context.Context, wait func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	results := make(chan result, 1)
	go func() {
		value, err := wait()
		results <- result{value, err}
	}()
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
		return *new(T), context.Cause(ctx)
	}
}

// line asks for a line of standard input.
func line(ctx context.Context) (string, error) {
	return answer(ctx, func() (string, error) { return bufio.NewReader(os.Stdin).ReadString('\n') })
}

// hidden asks for a line of a terminal, which does not show it. Whatever happens, it shows what is typed afterwards.
func hidden(ctx context.Context, terminal int) (string, error) {
	before, err := term.GetState(terminal)
	if err != nil {
		return "", err
	}
	text, err := answer(ctx, func() ([]byte, error) { return term.ReadPassword(terminal) })
	if ctx.Err() != nil {
		term.Restore(terminal, before)
	}
	return string(text), err
}

// input is standard input; reading ends with the context. A file, which does not keep readers waiting, is given as it is, since it can
// seek.
func input(ctx context.Context) io.ReadCloser {
	if stat, err := os.Stdin.Stat(); err == nil && stat.Mode().IsRegular() {
		return os.Stdin
	}
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, os.Stdin)
		w.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { w.CloseWithError(context.Cause(ctx)) })
	return r
}
