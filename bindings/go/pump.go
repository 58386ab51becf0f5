package etclite

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/etclite/etclite/bindings/go/internal/capi"
)

// A pump wakes watches: one goroutine for all of them, parked in Go's network poller on the library's descriptor. However many
// watches are idle, no thread waits for them.
//
// The library tells of a watch once, and again only after its Next had nothing: whoever is told must call Next until then.
type pump struct {
	poller capi.Poller
	// A copy of the poller's descriptor, which belongs to Go and can be closed by it.
	file *os.File
	done chan struct{}

	// mu guards what follows.
	mu      sync.Mutex
	notices map[uint64]chan struct{}
	last    uint64
}

// A position is a watch of the library, and its number at the pump, which tells of it through notice.
type position struct {
	handle capi.Watch
	pump   *pump
	cookie uint64
	notice <-chan struct{}
}

// register makes the position, which must be freed even if this fails. The results are those of capi.DB.Watch. Whoever calls must
// have entered.
func (p *position) register(c *Client, request []byte) (compacted int64, err error) {
	if p.pump, err = c.sharedPump(); err != nil {
		return 0, err
	}
	if p.handle, compacted, err = c.db.Watch(request); err != nil {
		return compacted, err
	}
	p.cookie, p.notice, err = p.pump.add(p.handle)
	return 0, err
}

// free gives back what there is.
func (p *position) free() {
	if p.cookie != 0 {
		p.pump.remove(p.cookie)
	}
	if p.handle != 0 {
		p.handle.Free()
	}
}

// newPump makes one and starts its goroutine. It must be stopped.
func newPump(db capi.DB) (*pump, error) {
	poller, err := db.Poller()
	if err != nil {
		return nil, err
	}
	file, err := pollable(poller)
	if err != nil {
		poller.Free()
		return nil, err
	}
	p := &pump{poller: poller, file: file, done: make(chan struct{}), notices: make(map[uint64]chan struct{})}
	go p.run()
	return p, nil
}

// pollable is a copy of a poller's descriptor for Go's network poller.
func pollable(poller capi.Poller) (*os.File, error) {
	fd, err := poller.FD()
	if err != nil {
		return nil, err
	}
	copied, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return nil, fmt.Errorf("etclite: copy of a descriptor: %w", errno)
	}
	if err := syscall.SetNonblock(int(copied), true); err != nil {
		syscall.Close(int(copied))
		return nil, fmt.Errorf("etclite: a descriptor that does not block: %w", err)
	}
	file := os.NewFile(copied, "etclite-poller")
	// Only a file in the network poller takes a deadline; without it nobody would ever be woken.
	if err := file.SetReadDeadline(time.Time{}); err != nil {
		file.Close()
		return nil, fmt.Errorf("etclite: a descriptor to wait for: %w", err)
	}
	return file, nil
}

// run wakes watches until the pump is stopped.
func (p *pump) run() {
	defer close(p.done)
	conn, err := p.file.SyscallConn()
	if err != nil {
		return
	}
	var ready [256]uint64
	// The function is called whenever the descriptor becomes readable, and never says that it is done.
	_ = conn.Read(func(uintptr) bool {
		p.drain(ready[:])
		return false
	})
}

func (p *pump) drain(ready []uint64) {
	for {
		count, err := p.poller.Drain(ready)
		if err != nil {
			p.notifyAll()
			return
		}
		p.notify(ready[:count])
		if count < len(ready) {
			return
		}
	}
}

func (p *pump) notify(ready []uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cookie := range ready {
		// None if the watch has been removed meanwhile.
		if notice, ok := p.notices[cookie]; ok {
			signal(notice)
		}
	}
}

// notifyAll lets every watch find out what is wrong.
func (p *pump) notifyAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, notice := range p.notices {
		signal(notice)
	}
}

// add begins to tell of a watch, through the channel. The number is for remove.
func (p *pump) add(w capi.Watch) (uint64, <-chan struct{}, error) {
	notice := make(chan struct{}, 1)
	p.mu.Lock()
	p.last++
	cookie := p.last
	p.notices[cookie] = notice
	p.mu.Unlock()
	if err := p.poller.Add(w, cookie); err != nil {
		p.remove(cookie)
		return 0, nil, err
	}
	return cookie, notice, nil
}

// remove forgets a watch. To the library it says nothing: freeing the watch does.
func (p *pump) remove(cookie uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.notices, cookie)
}

// stop ends the goroutine, waits for that and frees the poller.
func (p *pump) stop() {
	p.file.Close()
	<-p.done
	p.poller.Free()
}

// signal tells a channel of one place something that it need be told only once.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
