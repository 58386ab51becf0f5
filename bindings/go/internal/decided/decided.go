// Package decided is about contexts that end while a write is on its way. Whoever must know what became of it waits for it longer
// than others do: until it is done, unless it can be taken back.
package decided

import "context"

type key struct{}

// Context is ctx for writes that return its error only if they surely are not done. Once one is on its way to the disk, or was
// the first to go there, it is waited for.
func Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, key{}, true)
}

// Wanted tells whether ctx is such a context.
func Wanted(ctx context.Context) bool {
	wanted, _ := ctx.Value(key{}).(bool)
	return wanted
}
