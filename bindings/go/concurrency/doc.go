// Package concurrency has locks, elections and software transactional memory over a store, with the names and the keys of etcd's
// package of that name: whoever takes the same lock with another client of the store, in whatever language, waits for the same
// thing.
//
// A lock belongs to a session, which is a lease that is kept alive. Sessions exclude one another, goroutines do not: with the
// same session a second lock of the same name succeeds. Goroutines that must exclude each other use a session each.
//
// Where etcd's clients leave somebody in the dark, this package does not. A waiter whose session ends learns it at once, not
// only when its turn would have come. A call whose context ends while it waits has left the line when it returns, and one that
// fails keeps what it had: Unlock with a context that has ended returns the context's error, and a second Unlock still frees
// the lock. For that, a write of one of these calls is waited for even if the context ends in between; it takes one commit.
package concurrency
