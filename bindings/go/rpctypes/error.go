package rpctypes

import "fmt"

// An EtcdError is an error that has a name: two are equal if code and text are.
type EtcdError struct {
	code Code
	desc string
}

// Code is gRPC's class of the error.
func (e EtcdError) Code() Code { return e.code }

// Error is the text, as etcd's clients have it.
func (e EtcdError) Error() string { return e.desc }

// A grpcError is an error as etcd's server sends it.
type grpcError struct {
	code Code
	desc string
}

func (e grpcError) Error() string {
	return fmt.Sprintf("rpc error: code = %s desc = %s", e.code, e.desc)
}

func (e grpcError) Code() Code { return e.code }

// Error turns an error as the server sends it into the one that clients compare with: whatever has the text of an etcd error
// becomes that error. All others, nil included, are returned as they are.
func Error(err error) error {
	if err == nil {
		return nil
	}
	if known, ok := byText[ErrorDesc(err)]; ok {
		return known
	}
	return err
}

// ErrorDesc is the text of an error without the words that gRPC puts before it.
func ErrorDesc(err error) string {
	if sent, ok := err.(grpcError); ok {
		return sent.desc
	}
	return err.Error()
}
