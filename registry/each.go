// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"sync"
)

// each calls do for every item, by several goroutines, and waits for them. After the first error, which it returns, the context of
// the others is cancelled and no further call is made.
func each[T any](ctx context.Context, concurrency int, items []T, do func(context.Context, T) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan T)
	var workers sync.WaitGroup
	for range min(concurrency, len(items)) {
		workers.Go(func() {
			for item := range queue {
				if ctx.Err() != nil {
					continue
				}
				if err := do(ctx, item); err != nil {
					cancel(err)
				}
			}
		})
	}
	for _, item := range items {
		queue <- item
	}
	close(queue)
	workers.Wait()
	return context.Cause(ctx)
}
