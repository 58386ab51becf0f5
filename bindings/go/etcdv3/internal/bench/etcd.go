//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A server is one of etcd, alone in its cluster, on loopback, as it is set without options. It syncs its log before it answers.
type server struct {
	address, version string
	stop             func()
}

// startEtcd starts one whose data are in the directory that is measured, and waits until it answers.
func startEtcd(s settings) (*server, error) {
	version, err := exec.Command(s.etcd, "--version").Output()
	if err != nil {
		return nil, fmt.Errorf("etcd is missing (Debian has it in etcd-server): %w", err)
	}
	first, _, _ := strings.Cut(string(version), "\n")
	client, err := freeAddress()
	if err != nil {
		return nil, err
	}
	peer, err := freeAddress()
	if err != nil {
		return nil, err
	}
	process := exec.Command(s.etcd, "--data-dir", filepath.Join(s.dir, "etcd"), "--name", "bench", "--log-level", "error",
		"--listen-client-urls", "http://"+client, "--advertise-client-urls", "http://"+client,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer,
		"--initial-cluster", "bench=http://"+peer)
	var log strings.Builder
	process.Stdout, process.Stderr = &log, &log
	if err := process.Start(); err != nil {
		return nil, err
	}
	stop := sync.OnceFunc(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	started := &server{client, strings.TrimPrefix(first, "etcd Version: "), stop}
	if err := started.answers(); err != nil {
		stop()
		return nil, fmt.Errorf("etcd does not answer: %w\n%s", err, log.String())
	}
	return started, nil
}

func (s *server) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{s.address}, DialTimeout: time.Minute})
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.Get(ctx, "is it there?")
	return err
}

// freeAddress is one that nobody listens at.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return listener.Addr().String(), nil
}
