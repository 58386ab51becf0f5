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

// As etcd's client 3.5 and 3.6 print them.
func TestTextsAreThoseOfEtcd(t *testing.T) {
	kv := &mvccpb.KeyValue{Key: []byte("k\x00\x01\xff\"\\'\n\r\té<世\x7f~ "), CreateRevision: 2, ModRevision: 3, Version: 1,
		Value: []byte("v"), Lease: -7}
	text := `key:"k\000\001\377\"\\'\n\r\t\303\251<\344\270\226\177~ " create_revision:2 mod_revision:3 version:1 value:"v" lease:-7 `
	for _, row := range []struct {
		message fmt.Stringer
		want    string
	}{
		{kv, text},
		{&mvccpb.KeyValue{}, ""},
		{(*mvccpb.KeyValue)(nil), "<nil>"},
		{&mvccpb.Event{Type: mvccpb.DELETE, Kv: kv, PrevKv: &mvccpb.KeyValue{Key: []byte("k")}},
			"type:DELETE kv:<" + text + `> prev_kv:<key:"k" > `},
		{&mvccpb.Event{Kv: &mvccpb.KeyValue{}}, "kv:<> "},
		{&mvccpb.Event{Type: 5}, "type:5 "},
		{(*mvccpb.Event)(nil), "<nil>"},
	} {
		if got := row.message.String(); got != row.want {
			t.Errorf("\n got %s\nwant %s", got, row.want)
		}
	}
	if got := fmt.Sprint([]*mvccpb.KeyValue{{Key: []byte("k")}}); got != `[key:"k" ]` {
		t.Error(got)
	}
}
