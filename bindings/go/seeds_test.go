package etclite_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/etclite/etclite/bindings/go/internal/seedtest"
)

// imports changes the imports of a clientv3 program, and nothing else.
func imports(source string) string {
	return strings.NewReplacer(
		`"go.etcd.io/etcd/client/v3"`, `"github.com/etclite/etclite/bindings/go"`,
		`"go.etcd.io/etcd/client/v3/`, `"github.com/etclite/etclite/bindings/go/`,
	).Replace(source)
}

func TestSeedsWithOpen(t *testing.T) {
	t.Parallel()
	seedtest.Run(t, "testdata/seeds", func(t testing.TB, source, store string) string {
		return seedtest.Replace(t, imports(source), seedtest.OpeningLine, "clientv3.Open("+strconv.Quote(store)+")")
	})
}

func TestSeedsWithAnEndpoint(t *testing.T) {
	t.Parallel()
	seedtest.Run(t, "testdata/seeds", func(t testing.TB, source, store string) string {
		return seedtest.Replace(t, imports(source), `"localhost:2379"`, strconv.Quote("file://"+store))
	})
}
