package etclite

import (
	"encoding/json"
	"testing"

	"github.com/etclite/etclite/bindings/go/mvccpb"
)

// Programs log answers as JSON, with etcd's names.
func TestAnswersAsJSON(t *testing.T) {
	resp := GetResponse{Header: &ResponseHeader{ClusterId: 1, MemberId: 2, Revision: 3, RaftTerm: 4}, Count: 5,
		Kvs: []*mvccpb.KeyValue{{Key: []byte("q1mi"), Value: []byte("dsb"), CreateRevision: 2, ModRevision: 3, Version: 2}}}
	got, err := json.Marshal(resp)
	want := `{"header":{"cluster_id":1,"member_id":2,"revision":3,"raft_term":4},` +
		`"kvs":[{"key":"cTFtaQ==","create_revision":2,"mod_revision":3,"version":2,"value":"ZHNi"}],"count":5}`
	if err != nil || string(got) != want {
		t.Errorf("%s, %v", got, err)
	}
}

func TestTheTextOfAHeaderIsThatOfEtcd(t *testing.T) {
	h := &ResponseHeader{ClusterId: 1 << 63, MemberId: 2, Revision: 3, RaftTerm: 4}
	if got, want := h.String(), "cluster_id:9223372036854775808 member_id:2 revision:3 raft_term:4 "; got != want {
		t.Errorf("%q instead of %q", got, want)
	}
	if got := (*ResponseHeader)(nil).String() + (&ResponseHeader{}).String(); got != "<nil>" {
		t.Error(got)
	}
}
