package wire

import "encoding/binary"

// The operand of a Compare: the number of the field that holds it.
const (
	OperandNone           = 0
	OperandVersion        = 4
	OperandCreateRevision = 5
	OperandModRevision    = 6
	OperandValue          = 7
	OperandLease          = 8
)

// A Compare is a condition of a txn. Of etcd's oneof target_union, Operand says which member is set (none is legal, and
// compares with 0 or nothing); its value is in Value for OperandValue, else in Int.
type Compare struct {
	Result   int32
	Target   int32
	Key      []byte
	Operand  uint32
	Int      int64
	Value    []byte
	RangeEnd []byte
}

// Append encodes the message behind b.
func (m *Compare) Append(b []byte) []byte {
	b = appendInt(b, 1, int64(m.Result))
	b = appendInt(b, 2, int64(m.Target))
	b = appendBytes(b, 3, m.Key)
	switch m.Operand {
	case OperandNone:
	case OperandValue:
		b = appendPresent(b, OperandValue, m.Value)
	default:
		b = binary.AppendUvarint(appendTag(b, m.Operand, kindVarint), uint64(m.Int))
	}
	return appendBytes(b, 64, m.RangeEnd)
}

// Decode reads the message into a zero one.
func (m *Compare) Decode(b []byte) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			m.Result = r.int32()
		case 2:
			m.Target = r.int32()
		case 3:
			m.Key = r.bytes()
		case OperandVersion, OperandCreateRevision, OperandModRevision, OperandLease:
			m.Operand, m.Int, m.Value = r.field, r.int(), nil
		case OperandValue:
			m.Operand, m.Int, m.Value = r.field, 0, r.bytes()
		case 64:
			m.RangeEnd = r.bytes()
		default:
			r.skip()
		}
	}
	return r.err
}

// A RequestOp is one operation of a txn: at most one of the fields is set.
type RequestOp struct {
	Range       *RangeRequest       `json:"request_range,omitempty"`
	Put         *PutRequest         `json:"request_put,omitempty"`
	DeleteRange *DeleteRangeRequest `json:"request_delete_range,omitempty"`
	Txn         *TxnRequest         `json:"request_txn,omitempty"`
}

// Append encodes the message behind b.
func (m *RequestOp) Append(b []byte) []byte {
	switch {
	case m.Range != nil:
		b, start := Open(b, 1)
		return Close(m.Range.Append(b), start)
	case m.Put != nil:
		b, start := Open(b, 2)
		return Close(m.Put.Append(b), start)
	case m.DeleteRange != nil:
		b, start := Open(b, 3)
		return Close(m.DeleteRange.Append(b), start)
	case m.Txn != nil:
		b, start := Open(b, 4)
		return Close(m.Txn.Append(b), start)
	}
	return b
}

// Decode reads the message into a zero one.
func (m *RequestOp) Decode(b []byte) error {
	return m.decode(b, 0)
}

func (m *RequestOp) decode(b []byte, depth int) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			*m = RequestOp{Range: m.Range}
			sub(&r, &m.Range)
		case 2:
			*m = RequestOp{Put: m.Put}
			sub(&r, &m.Put)
		case 3:
			*m = RequestOp{DeleteRange: m.DeleteRange}
			sub(&r, &m.DeleteRange)
		case 4:
			*m = RequestOp{Txn: m.Txn}
			if m.Txn == nil {
				m.Txn = &TxnRequest{}
			}
			if txn := r.bytes(); r.err == nil {
				r.err = m.Txn.decode(txn, depth+1)
			}
		default:
			r.skip()
		}
	}
	return r.err
}

// A TxnRequest asks for a txn.
type TxnRequest struct {
	Compare []Compare   `json:"compare,omitempty"`
	Success []RequestOp `json:"success,omitempty"`
	Failure []RequestOp `json:"failure,omitempty"`
}

// Append encodes the message behind b.
func (m *TxnRequest) Append(b []byte) []byte {
	start := 0
	for i := range m.Compare {
		b, start = Open(b, 1)
		b = Close(m.Compare[i].Append(b), start)
	}
	b = appendRequestOps(b, 2, m.Success)
	return appendRequestOps(b, 3, m.Failure)
}

func appendRequestOps(b []byte, field uint32, ops []RequestOp) []byte {
	start := 0
	for i := range ops {
		b, start = Open(b, field)
		b = Close(ops[i].Append(b), start)
	}
	return b
}

// Decode reads the message into a zero one.
func (m *TxnRequest) Decode(b []byte) error {
	return m.decode(b, 1)
}

func (m *TxnRequest) decode(b []byte, depth int) error {
	r := reader{rest: b}
	if depth > TxnDepthMax {
		r.fail("txns are nested too deep")
	}
	for r.next() {
		switch r.field {
		case 1:
			m.Compare = append(m.Compare, Compare{})
			compare := r.bytes()
			if r.err == nil {
				r.err = m.Compare[len(m.Compare)-1].Decode(compare)
			}
		case 2:
			m.Success = decodeRequestOp(&r, m.Success, depth)
		case 3:
			m.Failure = decodeRequestOp(&r, m.Failure, depth)
		default:
			r.skip()
		}
	}
	return r.err
}

func decodeRequestOp(r *reader, ops []RequestOp, depth int) []RequestOp {
	b := r.bytes()
	if r.err != nil {
		return ops
	}
	ops = append(ops, RequestOp{})
	r.err = ops[len(ops)-1].decode(b, depth)
	return ops
}

// A ResponseOp is the answer to one operation of a txn: at most one of the fields is set.
type ResponseOp struct {
	Range       *RangeResponse       `json:"response_range,omitempty"`
	Put         *PutResponse         `json:"response_put,omitempty"`
	DeleteRange *DeleteRangeResponse `json:"response_delete_range,omitempty"`
	Txn         *TxnResponse         `json:"response_txn,omitempty"`
}

// GetResponseRange is the answer to a get, nil if it was another operation.
func (m *ResponseOp) GetResponseRange() *RangeResponse {
	if m == nil {
		return nil
	}
	return m.Range
}

// GetResponsePut is the answer to a put, nil if it was another operation.
func (m *ResponseOp) GetResponsePut() *PutResponse {
	if m == nil {
		return nil
	}
	return m.Put
}

// GetResponseDeleteRange is the answer to a delete, nil if it was another operation.
func (m *ResponseOp) GetResponseDeleteRange() *DeleteRangeResponse {
	if m == nil {
		return nil
	}
	return m.DeleteRange
}

// GetResponseTxn is the answer to a txn within the txn, nil if it was another operation.
func (m *ResponseOp) GetResponseTxn() *TxnResponse {
	if m == nil {
		return nil
	}
	return m.Txn
}

// Append encodes the message behind b.
func (m *ResponseOp) Append(b []byte) []byte {
	switch {
	case m.Range != nil:
		b, start := Open(b, 1)
		return Close(m.Range.Append(b), start)
	case m.Put != nil:
		b, start := Open(b, 2)
		return Close(m.Put.Append(b), start)
	case m.DeleteRange != nil:
		b, start := Open(b, 3)
		return Close(m.DeleteRange.Append(b), start)
	case m.Txn != nil:
		b, start := Open(b, 4)
		return Close(m.Txn.Append(b), start)
	}
	return b
}

// Decode reads the message into a zero one.
func (m *ResponseOp) Decode(b []byte) error {
	return m.decode(b, 0)
}

func (m *ResponseOp) decode(b []byte, depth int) error {
	r := reader{rest: b}
	for r.next() {
		switch r.field {
		case 1:
			*m = ResponseOp{Range: m.Range}
			sub(&r, &m.Range)
		case 2:
			*m = ResponseOp{Put: m.Put}
			sub(&r, &m.Put)
		case 3:
			*m = ResponseOp{DeleteRange: m.DeleteRange}
			sub(&r, &m.DeleteRange)
		case 4:
			*m = ResponseOp{Txn: m.Txn}
			if m.Txn == nil {
				m.Txn = &TxnResponse{}
			}
			if txn := r.bytes(); r.err == nil {
				r.err = m.Txn.decode(txn, depth+1)
			}
		default:
			r.skip()
		}
	}
	return r.err
}

// A TxnResponse answers a TxnRequest.
type TxnResponse struct {
	Header    *ResponseHeader `json:"header,omitempty"`
	Succeeded bool            `json:"succeeded,omitempty"`
	Responses []*ResponseOp   `json:"responses,omitempty"`
}

// Append encodes the message behind b.
func (m *TxnResponse) Append(b []byte) []byte {
	b = appendHeader(b, m.Header)
	b = appendBool(b, 2, m.Succeeded)
	start := 0
	for _, response := range m.Responses {
		b, start = Open(b, 3)
		b = Close(response.Append(b), start)
	}
	return b
}

// Decode reads the message into a zero one.
func (m *TxnResponse) Decode(b []byte) error {
	return m.decode(b, 1)
}

func (m *TxnResponse) decode(b []byte, depth int) error {
	r := reader{rest: b}
	if depth > TxnDepthMax {
		r.fail("txns are nested too deep")
	}
	for r.next() {
		switch r.field {
		case 1:
			sub(&r, &m.Header)
		case 2:
			m.Succeeded = r.bool()
		case 3:
			if op := r.bytes(); r.err == nil {
				response := &ResponseOp{}
				m.Responses = append(m.Responses, response)
				r.err = response.decode(op, depth)
			}
		default:
			r.skip()
		}
	}
	return r.err
}
