package namespace

import (
	"context"
	"sync"

	etclite "github.com/etclite/etclite/bindings/go"
)

type watcherPrefix struct {
	etclite.Watcher
	pfx prefix

	// Those that pass responses on.
	wg       sync.WaitGroup
	stopc    chan struct{}
	stopOnce sync.Once
}

// NewWatcher is the part of a Watcher under a prefix.
func NewWatcher(w etclite.Watcher, pfx string) etclite.Watcher {
	return &watcherPrefix{Watcher: w, pfx: prefix(pfx), stopc: make(chan struct{})}
}

func (w *watcherPrefix) Watch(ctx context.Context, key string, opts ...etclite.OpOption) etclite.WatchChan {
	// What the options mean for the range is seen by trying them on.
	op := etclite.OpWatch(key, opts...)
	begin := op.KeyBytes()
	if len(begin) == 0 {
		// As of any watch: the empty key is taken for the least.
		begin = []byte{0}
	}
	begin, end := w.pfx.interval(begin, op.RangeBytes())
	whole := append([]etclite.OpOption(nil), opts...)
	whole = append(whole, func(op *etclite.Op) {
		op.WithKeyBytes(begin)
		op.WithRangeBytes(end)
	})
	out := make(chan etclite.WatchResponse)
	w.wg.Add(1)
	go w.pass(ctx, w.Watcher.Watch(ctx, string(begin), whole...), out)
	return out
}

func (w *watcherPrefix) pass(ctx context.Context, in etclite.WatchChan, out chan<- etclite.WatchResponse) {
	defer w.wg.Done()
	defer close(out)
	for wr := range in {
		for _, event := range wr.Events {
			event.Kv.Key = w.pfx.strip(event.Kv.Key)
			if event.PrevKv != nil {
				event.PrevKv.Key = event.Kv.Key
			}
		}
		select {
		case out <- wr:
		case <-ctx.Done():
			return
		case <-w.stopc:
			return
		}
	}
}

func (w *watcherPrefix) Close() error {
	err := w.Watcher.Close()
	w.stopOnce.Do(func() { close(w.stopc) })
	w.wg.Wait()
	return err
}
