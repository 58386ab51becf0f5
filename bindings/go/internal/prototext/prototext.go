// Package prototext writes messages as the String methods of etcd's generated code do (client 3.5 and 3.6): fields that are not
// zero, in order, each with a space behind it. Programs log them so, and some compare the text.
package prototext

import "strconv"

// AppendInt appends a number, unless it is zero.
func AppendInt(b []byte, name string, v int64) []byte {
	if v == 0 {
		return b
	}
	b = append(append(b, name...), ':')
	return append(strconv.AppendInt(b, v, 10), ' ')
}

// AppendUint appends a number, unless it is zero.
func AppendUint(b []byte, name string, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = append(append(b, name...), ':')
	return append(strconv.AppendUint(b, v, 10), ' ')
}

// AppendName appends the name of an enumeration's value.
func AppendName(b []byte, name, v string) []byte {
	b = append(append(b, name...), ':')
	return append(append(b, v...), ' ')
}

// AppendMessage appends a message within a message, whose text is given.
func AppendMessage(b []byte, name, text string) []byte {
	b = append(append(b, name...), ":<"...)
	return append(append(b, text...), "> "...)
}

// AppendBytes appends bytes in quotes, unless there are none. Those that are no printable character of ASCII are in octal.
func AppendBytes(b []byte, name string, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	b = append(append(b, name...), `:"`...)
	for _, c := range v {
		switch {
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c >= 0x7f:
			b = append(b, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			b = append(b, c)
		}
	}
	return append(b, `" `...)
}
