// Package wire encodes and decodes the messages of etcd's package etcdserverpb that cross into the library, with etcd's field
// numbers, and of the library's own package etclitepb those that are used here. It does so by hand: the module has no
// requirements, and Go's protobuf registry refuses two packages that register the same message names, so generated code of ours
// beside etcd's own could stop a program at its start.
//
// Encoding appends to a buffer of the caller's: fields in the order of their numbers, zero values left out, members of a
// oneof kept, as prost and Go's protobuf do. A message within a message is written behind one byte of length, which is made
// longer afterwards where one byte is too short, so nothing is measured beforehand and nothing is allocated.
//
// Decoding slices: keys and values point into the bytes that were given, so these must be a fresh copy which nobody writes to
// again. Unknown fields are skipped, a field that comes twice counts as protobuf has it (the last one, or merged), and
// whatever is malformed is an error, never a panic. Txns within txns are bounded by TxnDepthMax.
package wire

// The numbers of the calls, as etclite_call takes them.
const (
	OpRange           = 1
	OpPut             = 2
	OpDeleteRange     = 3
	OpTxn             = 4
	OpCompact         = 5
	OpLeaseGrant      = 10
	OpLeaseRevoke     = 11
	OpLeaseKeepAlive  = 12
	OpLeaseTimeToLive = 13
	OpLeaseLeases     = 14
	OpStatus          = 20
	OpHashKV          = 21
	// From 1000 on they are of package etclitepb, for what etcd has no messages for.
	OpLeaseKeepAliveMs = 1012
)
