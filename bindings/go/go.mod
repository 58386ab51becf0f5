module github.com/etclite/etclite/bindings/go

go 1.24
