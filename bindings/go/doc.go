// Package etclite is etcd's model inside the process: revisions, ranges, txns, watches and leases in a store on disk, with no
// server and no port. Its names are those of etcd's package clientv3, so that a program changes its import and how it opens:
//
//	cli, err := etclite.Open("app.etcl") // instead of clientv3.New(clientv3.Config{Endpoints: ...})
//	if err != nil {
//		return err
//	}
//	defer cli.Close()
//	_, err = cli.Put(ctx, "q1mi", "dsb")
//
// Locks, elections and software transactional memory are in package concurrency, errors in rpctypes, key-values and events in
// mvccpb, and prefixes for all keys in namespace.
//
// A store belongs to one process at a time. A Client may be used by any number of goroutines, and takes few threads however many
// of them wait: writes are gathered into batches that share a commit, and watches wait in Go's network poller.
package etclite
