package mvccpb_test

import (
	"fmt"

	"github.com/etclite/etclite/bindings/go/mvccpb"
)

func Example() {
	event := mvccpb.Event{Kv: &mvccpb.KeyValue{Key: []byte("k"), Value: []byte("v"), CreateRevision: 2, ModRevision: 3, Version: 2}}
	fmt.Println(event.Type, event.IsCreate(), event.IsModify())
	// Output: PUT false true
}
