package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// A message is what every message's pointer is.
type message interface {
	Append(b []byte) []byte
	Decode(b []byte) error
}

// messages makes an empty message of each name.
var messages = map[string]func() message{
	"RangeRequest":             func() message { return &RangeRequest{} },
	"RangeResponse":            func() message { return &RangeResponse{} },
	"PutRequest":               func() message { return &PutRequest{} },
	"PutResponse":              func() message { return &PutResponse{} },
	"DeleteRangeRequest":       func() message { return &DeleteRangeRequest{} },
	"DeleteRangeResponse":      func() message { return &DeleteRangeResponse{} },
	"TxnRequest":               func() message { return &TxnRequest{} },
	"TxnResponse":              func() message { return &TxnResponse{} },
	"CompactionRequest":        func() message { return &CompactionRequest{} },
	"CompactionResponse":       func() message { return &CompactionResponse{} },
	"LeaseGrantRequest":        func() message { return &LeaseGrantRequest{} },
	"LeaseGrantResponse":       func() message { return &LeaseGrantResponse{} },
	"LeaseRevokeRequest":       func() message { return &LeaseRevokeRequest{} },
	"LeaseRevokeResponse":      func() message { return &LeaseRevokeResponse{} },
	"LeaseKeepAliveRequest":    func() message { return &LeaseKeepAliveRequest{} },
	"LeaseKeepAliveResponse":   func() message { return &LeaseKeepAliveResponse{} },
	"LeaseKeepAliveMsResponse": func() message { return &LeaseKeepAliveMsResponse{} },
	"LeaseTimeToLiveRequest":   func() message { return &LeaseTimeToLiveRequest{} },
	"LeaseTimeToLiveResponse":  func() message { return &LeaseTimeToLiveResponse{} },
	"LeaseLeasesResponse":      func() message { return &LeaseLeasesResponse{} },
	"StatusResponse":           func() message { return &StatusResponse{} },
	"HashKVRequest":            func() message { return &HashKVRequest{} },
	"HashKVResponse":           func() message { return &HashKVResponse{} },
	"WatchCreateRequest":       func() message { return &WatchCreateRequest{} },
	"WatchResponse":            func() message { return &WatchResponse{} },
}

func TestGoldenVectors(t *testing.T) {
	indexes, _ := filepath.Glob("testdata/golden/*/index.json")
	if len(indexes) == 0 {
		t.Fatal("there are no golden vectors")
	}
	for _, index := range indexes {
		var rows []struct {
			Name    string         `json:"name"`
			Message string         `json:"message"`
			Fields  map[string]any `json:"fields"`
		}
		text, err := os.ReadFile(index)
		if err == nil {
			err = json.Unmarshal(text, &rows)
		}
		if err != nil || len(rows) == 0 {
			t.Fatalf("%s: %v", index, err)
		}
		for _, row := range rows {
			t.Run(filepath.Base(filepath.Dir(index))+"/"+row.Name, func(t *testing.T) {
				encoded, err := os.ReadFile(filepath.Join(filepath.Dir(index), row.Name+".bin"))
				if err != nil || messages[row.Message] == nil {
					t.Fatalf("%s: %v", row.Message, err)
				}
				checkGolden(t, messages[row.Message](), encoded, row.Fields)
			})
		}
	}
}

func checkGolden(t *testing.T, m message, encoded []byte, want map[string]any) {
	if err := m.Decode(encoded); err != nil {
		t.Fatal(err)
	}
	if got := fields(reflect.ValueOf(m).Elem()); !reflect.DeepEqual(got, any(want)) {
		t.Errorf("decoded\n%v\ninstead of\n%v", got, want)
	}
	if again := m.Append(nil); !bytes.Equal(again, encoded) {
		t.Errorf("encoded again\n%x\ninstead of\n%x", again, encoded)
	}
}

// fields shows a message as the golden vectors do.
func fields(v reflect.Value) any {
	switch v.Kind() {
	case reflect.Pointer:
		return fields(v.Elem())
	case reflect.Struct:
		if compare, ok := v.Interface().(Compare); ok {
			return fieldsOfCompare(compare)
		}
		return fieldsOfStruct(v)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return hex.EncodeToString(v.Bytes())
		}
		all := []any{}
		for i := range v.Len() {
			all = append(all, fields(v.Index(i)))
		}
		return all
	case reflect.Bool:
		return v.Bool()
	case reflect.String:
		return v.String()
	case reflect.Uint32, reflect.Uint64:
		return strconv.FormatUint(v.Uint(), 10)
	default:
		return strconv.FormatInt(v.Int(), 10)
	}
}

func fieldsOfStruct(v reflect.Value) any {
	all := map[string]any{}
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		empty := v.Field(i).IsZero() || v.Field(i).Kind() == reflect.Slice && v.Field(i).Len() == 0
		if !empty {
			all[name] = fields(v.Field(i))
		}
	}
	return all
}

func fieldsOfCompare(m Compare) any {
	all := map[string]any{}
	if m.Result != 0 {
		all["result"] = fmt.Sprint(m.Result)
	}
	if m.Target != 0 {
		all["target"] = fmt.Sprint(m.Target)
	}
	if len(m.Key) > 0 {
		all["key"] = hex.EncodeToString(m.Key)
	}
	names := map[uint32]string{OperandVersion: "version", OperandCreateRevision: "create_revision",
		OperandModRevision: "mod_revision", OperandLease: "lease"}
	switch name := names[m.Operand]; {
	case m.Operand == OperandValue:
		all["value"] = hex.EncodeToString(m.Value)
	case name != "":
		all[name] = fmt.Sprint(m.Int)
	}
	if len(m.RangeEnd) > 0 {
		all["range_end"] = hex.EncodeToString(m.RangeEnd)
	}
	return all
}
