package etcdv3

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/etclite/etclite/bindings/go/internal/seedtest"
)

const seeds = "../testdata/seeds"

func TestSeeds(t *testing.T) {
	t.Parallel()
	seedtest.Run(t, seeds, func(t testing.TB, source, store string) string {
		opened := seedtest.Replace(t, source, seedtest.OpeningLine, "etcdv3.Open("+strconv.Quote(store)+")")
		return seedtest.Replace(t, opened, `clientv3 "go.etcd.io/etcd/client/v3"`,
			"clientv3 \"go.etcd.io/etcd/client/v3\"\n\t\"github.com/etclite/etclite/bindings/go/etcdv3\"") +
			// Not every program names another thing of these once the opening line is gone.
			"\nvar (\n\t_ *clientv3.Client\n\t_ = time.Second\n)\n"
	})
}

// What was recorded is what they print against etcd.
func TestSeedsOnEtcd(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("etcd"); err != nil {
		if os.Getenv("ETCLITE_REQUIRE_TOOLS") != "" {
			t.Fatal("etcd is missing: Debian has it in etcd-server")
		}
		t.Skip("needs etcd")
	}
	seedtest.Run(t, seeds, func(t testing.TB, source, store string) string {
		return seedtest.Replace(t, source, `"localhost:2379"`, strconv.Quote(startEtcd(t, store)))
	})
}

// startEtcd runs a server of etcd on loopback until the end of the test, and tells where it listens.
func startEtcd(t testing.TB, dir string) string {
	t.Helper()
	client, peer := freeAddress(t), freeAddress(t)
	server := exec.Command("etcd", "--data-dir", dir, "--name", "seed", "--log-level", "error",
		"--listen-client-urls", "http://"+client, "--advertise-client-urls", "http://"+client,
		"--listen-peer-urls", "http://"+peer, "--initial-advertise-peer-urls", "http://"+peer,
		"--initial-cluster", fmt.Sprintf("seed=http://%s", peer))
	var log strings.Builder
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	})
	awaitEtcd(t, client)
	return client
}

// awaitEtcd returns once the server answers: the client tries until it does.
func awaitEtcd(t testing.TB, address string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := clientv3.New(clientv3.Config{Endpoints: []string{address}, DialTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Get(ctx, "is it there?"); err != nil {
		t.Fatalf("etcd does not answer: %v", err)
	}
}

// freeAddress is one that nobody listens at.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
