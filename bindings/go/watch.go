package etclite

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/etclite/etclite/bindings/go/internal/wire"
	"github.com/etclite/etclite/bindings/go/rpctypes"
)

// watchBytesMax is about how much a watch reads at a time. A revision with more comes in one piece all the same.
const watchBytesMax = 256 << 10

// progressNotifyInterval is how long a watch with WithProgressNotify may be silent, as etcd has it.
const progressNotifyInterval = 10 * time.Minute

// A watcher is a Watcher of a client's store.
type watcher struct {
	client *Client
	// ctx ends with the watcher, and so with the client.
	ctx    context.Context
	cancel context.CancelFunc
	// running is the goroutines of its watches.
	running sync.WaitGroup

	// mu guards watches, which is nil once the watcher is closed.
	mu      sync.Mutex
	watches map[*watch]struct{}
}

// NewWatcher is another Watcher of the client's store, which can be closed by itself. It ends with the client.
func NewWatcher(c *Client) Watcher { return newWatcher(c) }

func newWatcher(c *Client) *watcher {
	w := &watcher{client: c, watches: make(map[*watch]struct{})}
	w.ctx, w.cancel = context.WithCancel(c.ctx)
	return w
}

// A watch is one channel on its way: a place in the history of a range, and a goroutine that reads on from there.
type watch struct {
	owner *watcher
	ctx   context.Context
	out   chan WatchResponse
	op    Op

	position
	// ask makes it tell its progress, once it has read what there is: until then asked says so.
	ask   chan struct{}
	asked bool
	// silence ends when progress is to be told unasked; nil if that is never.
	silence *time.Timer
}

// Watch registers the watch before it returns, and starts its goroutine.
func (w *watcher) Watch(ctx context.Context, key string, opts ...OpOption) WatchChan {
	op := OpWatch(key, opts...)
	watch := &watch{owner: w, ctx: ctx, op: op, out: make(chan WatchResponse, 1), ask: make(chan struct{}, 1)}
	if ctx.Err() != nil || !w.admit(watch) {
		close(watch.out)
		return watch.out
	}
	compacted, err := watch.register()
	created := watch.createdResponse()
	go watch.run(created, compacted, err)
	return watch.out
}

// admit counts a watch in, unless the watcher or its client is closed.
func (w *watcher) admit(watch *watch) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watches == nil || !w.client.enter() {
		return false
	}
	w.watches[watch] = struct{}{}
	w.running.Add(1)
	return true
}

func (w *watcher) dismiss(watch *watch) {
	w.mu.Lock()
	delete(w.watches, watch)
	w.mu.Unlock()
	w.client.leave()
	w.running.Done()
}

// RequestProgress makes every watch of this Watcher tell how far it has come, once it has read all there is.
func (w *watcher) RequestProgress(ctx context.Context) error {
	if err := w.client.ready(ctx); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.watches == nil {
		return ErrClosed
	}
	for watch := range w.watches {
		signal(watch.ask)
	}
	return nil
}

// Close ends all watches of this Watcher, and waits until their channels are closed.
func (w *watcher) Close() error {
	w.mu.Lock()
	w.watches = nil
	w.mu.Unlock()
	w.cancel()
	w.running.Wait()
	return nil
}

// register makes the place in the history. If it cannot be made, the results are those of capi.DB.Watch.
func (w *watch) register() (compacted int64, err error) {
	request := w.op.watchRequest()
	return w.position.register(w.owner.client, request.Append(nil))
}

// createdResponse is the notice of creation, with the store's revision at that time; nil if it is not asked for.
func (w *watch) createdResponse() *WatchResponse {
	if !w.op.createdNotify {
		return nil
	}
	revision, err := w.owner.client.db.Revision()
	if err != nil {
		return nil
	}
	return &WatchResponse{Header: w.owner.client.header(revision), Created: true}
}

// run brings responses until somebody no longer wants them, or there can be no more.
func (w *watch) run(created *WatchResponse, compacted int64, err error) {
	defer w.end()
	if w.op.progressNotify {
		w.silence = time.NewTimer(w.owner.client.progressEvery)
		defer w.silence.Stop()
	}
	if created != nil && !w.send(*created) {
		return
	}
	for err == nil {
		var reply []byte
		if reply, compacted, err = w.handle.Next(watchBytesMax); err != nil {
			break
		}
		if reply == nil {
			if !w.idle() {
				return
			}
			continue
		}
		var response *wire.WatchResponse
		if response, err = decoded[wire.WatchResponse](reply, nil); err != nil {
			break
		}
		if !w.send(WatchResponse{Header: response.Header, Events: response.Events}) {
			return
		}
	}
	w.fail(compacted, err)
}

// end gives back what the watch holds; after it the channel is closed.
func (w *watch) end() {
	w.free()
	w.owner.dismiss(w)
	close(w.out)
}

// send brings one response. It reports false if nobody wants it any more.
func (w *watch) send(response WatchResponse) bool {
	if w.ctx.Err() != nil || w.owner.ctx.Err() != nil {
		return false
	}
	select {
	case w.out <- response:
	case <-w.ctx.Done():
		return false
	case <-w.owner.ctx.Done():
		return false
	}
	if w.silence != nil {
		w.silence.Reset(w.owner.client.progressEvery)
	}
	return true
}

// idle is for when there was nothing to read: it tells the progress if that was asked for, else it waits until there may be
// something. It reports false if nobody wants more.
func (w *watch) idle() bool {
	if w.asked {
		w.asked = false
		return w.tellProgress()
	}
	var silence <-chan time.Time
	if w.silence != nil {
		silence = w.silence.C
	}
	select {
	case <-w.notice:
	case <-w.ask:
		w.asked = true
	case <-silence:
		w.asked = true
		w.silence.Reset(w.owner.client.progressEvery)
	case <-w.ctx.Done():
		return false
	case <-w.owner.ctx.Done():
		return false
	}
	return true
}

// tellProgress tells that everything up to a revision was brought. A watch that starts later has nothing to tell.
func (w *watch) tellProgress() bool {
	revision, err := w.handle.Progress()
	if err != nil || revision < w.op.rev {
		// What is wrong will be found by Next.
		return true
	}
	return w.send(WatchResponse{Header: w.owner.client.header(revision)})
}

// fail brings the last response of a watch that cannot go on. That its client was closed has none, nor has the end of what a
// store that is open for reading holds.
func (w *watch) fail(compacted int64, err error) {
	if err = w.owner.client.told(err); errors.Is(err, ErrClosed) || err == io.EOF {
		return
	}
	last := WatchResponse{Header: w.owner.client.header(0), Canceled: true, CompactRevision: compacted, CancelReason: err.Error()}
	if !errors.Is(err, rpctypes.ErrCompacted) {
		last.closeErr = err
	}
	w.send(last)
}
