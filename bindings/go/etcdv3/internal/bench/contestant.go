//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	etclite "github.com/etclite/etclite/bindings/go"
	"github.com/etclite/etclite/bindings/go/etcdv3"
)

// The names of what is compared, as the table has them.
const (
	etclites = "etclite"
	etcdv3s  = "etcdv3"
	etcds    = "clientv3 and etcd"
	rust     = "Rust"
	// With fewer threads, which Rust likes better.
	rustFew = "Rust, few threads"
)

var contestants = []string{etclites, etcdv3s, etcds}

// A contestant is a client of an open store. Every put is durable when it returns.
type contestant interface {
	put(key, value string) error
	get(key string) error
	// getSerializable lets a server answer by what it knows, without asking whether it is up to date.
	getSerializable(key string) error
	close()
}

// enter opens a contestant. Those that are stores are in the directory path, the other talks to a server.
func enter(name, path, address string) (contestant, error) {
	switch name {
	case etclites:
		c, err := etclite.Open(path)
		return ours{c}, err
	case etcdv3s:
		c, err := etcdv3.Open(path)
		return theirs{c}, err
	default:
		c, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: time.Minute})
		return theirs{c}, err
	}
}

type ours struct{ client *etclite.Client }

func (c ours) put(key, value string) error {
	_, err := c.client.Put(context.Background(), key, value)
	return err
}

func (c ours) get(key string) error {
	got, err := c.client.Get(context.Background(), key)
	if err == nil && len(got.Kvs) != 1 {
		err = fmt.Errorf("%s is not there", key)
	}
	return err
}

func (c ours) getSerializable(key string) error {
	got, err := c.client.Get(context.Background(), key, etclite.WithSerializable())
	if err == nil && len(got.Kvs) != 1 {
		err = fmt.Errorf("%s is not there", key)
	}
	return err
}

func (c ours) close() { _ = c.client.Close() }

type theirs struct{ client *clientv3.Client }

func (c theirs) put(key, value string) error {
	_, err := c.client.Put(context.Background(), key, value)
	return err
}

func (c theirs) get(key string) error {
	got, err := c.client.Get(context.Background(), key)
	if err == nil && len(got.Kvs) != 1 {
		err = fmt.Errorf("%s is not there", key)
	}
	return err
}

func (c theirs) getSerializable(key string) error {
	got, err := c.client.Get(context.Background(), key, clientv3.WithSerializable())
	if err == nil && len(got.Kvs) != 1 {
		err = fmt.Errorf("%s is not there", key)
	}
	return err
}

func (c theirs) close() { _ = c.client.Close() }

func valueOf(s settings) string { return strings.Repeat("v", s.value) }
