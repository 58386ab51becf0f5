// Package rpctypes holds the errors of the store under etcd's names, with etcd's texts and codes, and ours beside them.
//
// Err.. is what calls return: compare with == or errors.Is. ErrGRPC.. is the same as etcd's server sends it, whose text begins
// with "rpc error"; Error turns it into the former. Some are here only so that programs written for etcd compile: a store
// inside the process has no users, no passwords and no downgrades.
//
// An error of ours that tells more than its name is a *StatusError around one of the variables: errors.Is finds the variable.
package rpctypes
