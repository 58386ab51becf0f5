package rpctypes_test

import (
	"errors"
	"fmt"

	"github.com/etclite/etclite/bindings/go/rpctypes"
)

func Example() {
	// As of a Get at a revision that is gone.
	err := fmt.Errorf("page 2: %w", rpctypes.ErrCompacted)
	if errors.Is(err, rpctypes.ErrCompacted) {
		fmt.Println("start again:", err)
	}
	// As of an etcd server.
	fmt.Println(rpctypes.Error(rpctypes.ErrGRPCCompacted) == rpctypes.ErrCompacted)
	// Output:
	// start again: page 2: etcdserver: mvcc: required revision has been compacted
	// true
}
