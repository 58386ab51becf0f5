// Package etcdv3 opens a store and hands it out as a *clientv3.Client, so that programs and packages that were written for
// etcd's Go client run on it unchanged, in process: etcd's own concurrency, recipes, namespace, ordering and leasing packages
// included.
//
//	client, err := etcdv3.Open("app.etcl")
//	..
//	defer client.Close()
//	session, err := concurrency.NewSession(client)
//
// The client is the real one, with another transport: calls of etcd's generated gRPC interfaces become calls of the library,
// and nothing passes through a socket or through gRPC. A program that does not need etcd's own types is better served by
// package etclite, which has no dependencies; this one brings gRPC and zap along.
//
// # What differs from a client of an etcd server
//
// Close closes the store and then returns "context canceled", as etcd's own in-process client does: it is no error. The store
// hangs on the client's Watcher: client.Watcher.Close() alone closes it, too. Calls on a closed store are ErrStopped.
//
// There is no connection. ActiveConnection is nil; Sync, SetEndpoints and Dial need one, and must not be called. Nor must
// clientv3's own NewKV, NewLease, NewWatcher, NewMaintenance and their like be given the client: what they make calls over its
// connection. Use what the client holds, client.KV and so on, in their place; packages namespace, ordering, leasing and
// concurrency do. Maintenance is about this store, whatever the endpoint says.
//
// Errors have etcd's codes and texts where etcd has such an error. A store whose disk failed answers writes by ErrStopped,
// and ends watches with it, until it is opened anew.
//
// Authentication, alarms and downgrades are refused with gRPC's code Unimplemented, and so is changing the membership: a
// store by itself has no members to add.
//
// etcd's client renews leases by whole seconds and at most twice a second. A lease that Rust or C has granted for less than a
// second is better kept alive by them, or by package etclite, which knows its milliseconds.
//
// A write whose context ends after the store has taken it may still take effect, as with etcd.
package etcdv3
