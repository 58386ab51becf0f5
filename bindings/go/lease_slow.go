package etclite

import "time"

// slowLeases are those due for a renewal that may have to wait for the disk:
//
//   - the first of a lease, as it must be durable before it is answered, so that a crash does not end the lease early;
//   - that of a lease whose time is over by this process' clock: it is answered once the end is durable;
//   - that of a lease that is being revoked: it is answered once that is done, or has failed.
//
// Their goroutine runs while there are any. Those that come meanwhile go together afterwards, by one commit.
type slowLeases struct {
	waiting []LeaseID
	running bool
	// revoking counts the calls of Revoke that are under way.
	revoking map[LeaseID]int
}

// setAside leaves to the other goroutine those leases whose renewal may have to wait, and is the others. Needs mu.
func (l *lessor) setAside(leases []LeaseID, now time.Time) []LeaseID {
	var fast []LeaseID
	for _, id := range leases {
		lease := l.kept.byID[id]
		if lease.marked && now.Before(lease.deadline) && l.slow.revoking[id] == 0 {
			fast = append(fast, id)
		} else {
			l.slow.waiting = append(l.slow.waiting, id)
		}
	}
	if len(l.slow.waiting) > 0 && !l.slow.running && l.client.enter() {
		l.slow.running = true
		go l.renewSlow()
	}
	return fast
}

func (l *lessor) renewSlow() {
	defer l.client.leave()
	for {
		l.mu.Lock()
		leases := l.slow.waiting
		l.slow.waiting = nil
		l.slow.running = len(leases) > 0 && l.ctx.Err() == nil
		running := l.slow.running
		l.mu.Unlock()
		if !running {
			return
		}
		l.renew(leases)
		// They have times again, which may be before what the other sleeps for.
		signal(l.due)
	}
}
