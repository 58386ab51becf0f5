// Package namespace makes a part of a store look like a store of its own: all keys under a prefix, which is put before what is
// asked and taken away from what is answered. As etcd's package of that name:
//
//	cli.KV = namespace.NewKV(cli.KV, "app/")
//	cli.Watcher = namespace.NewWatcher(cli.Watcher, "app/")
//	cli.Lease = namespace.NewLease(cli.Lease, "app/")
//
// Ranges without an end stop where the namespace does, and keys of others are never seen. Revisions, leases and history are
// those of the store.
//
// Differs from etcd: a prefix may end in 0xff, and a txn with an empty key is refused as it is without a namespace.
package namespace
