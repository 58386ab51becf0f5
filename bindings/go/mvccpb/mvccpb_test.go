package mvccpb_test

import (
	"fmt"
	"testing"

	"github.com/etclite/etclite/bindings/go/mvccpb"
)

func TestKindsOfEvents(t *testing.T) {
	created := &mvccpb.Event{Kv: &mvccpb.KeyValue{CreateRevision: 5, ModRevision: 5, Version: 1}}
	modified := &mvccpb.Event{Kv: &mvccpb.KeyValue{CreateRevision: 5, ModRevision: 7, Version: 2}}
	deleted := &mvccpb.Event{Type: mvccpb.Event_DELETE, Kv: &mvccpb.KeyValue{ModRevision: 8}}
	for _, row := range []struct {
		event            *mvccpb.Event
		create, modified bool
		name             string
	}{{created, true, false, "PUT"}, {modified, false, true, "PUT"}, {deleted, false, false, "DELETE"}} {
		if row.event.IsCreate() != row.create || row.event.IsModify() != row.modified {
			t.Errorf("%v: create %v, modify %v", row.event, row.event.IsCreate(), row.event.IsModify())
		}
		if row.event.Type.String() != row.name || fmt.Sprintf("%s", row.event.Type) != row.name {
			t.Errorf("%v is printed as %s", row.event, row.event.Type)
		}
	}
	if name := mvccpb.Event_EventType(7).String(); name != "7" {
		t.Errorf("an unknown type is printed as %q", name)
	}
}

func TestGettersOfNothing(t *testing.T) {
	var kv *mvccpb.KeyValue
	var event *mvccpb.Event
	if kv.GetKey() != nil || kv.GetValue() != nil || event.GetKv() != nil || event.GetPrevKv() != nil {
		t.Error("nothing has no key")
	}
	if kv.GetCreateRevision()+kv.GetModRevision()+kv.GetVersion()+kv.GetLease() != 0 || event.GetType() != mvccpb.PUT {
		t.Error("nothing has no revision")
	}
}
