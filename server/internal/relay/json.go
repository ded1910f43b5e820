package relay

import (
	"encoding/json"
	"unicode/utf8"
)

// OIDs of the types that become something else than a string (pg_type.dat).
const (
	oidBool        = 16
	oidInt8        = 20
	oidInt2        = 21
	oidInt4        = 23
	oidJSON        = 114
	oidFloat4      = 700
	oidFloat8      = 701
	oidTimestamp   = 1114
	oidTimestamptz = 1184
	oidJSONB       = 3802
)

// elements gives the type of an array's elements, for the array types that become JSON arrays.
var elements = map[uint32]uint32{
	199: oidJSON, 1000: oidBool, 1005: oidInt2, 1007: oidInt4, 1016: oidInt8, 1021: oidFloat4, 1022: oidFloat8, 3807: oidJSONB,
	1115: oidTimestamp, 1185: oidTimestamptz,
	1002: 18, 1003: 19, 1009: 25, 1014: 1042, 1015: 1043, 1182: 1082, 1231: 1700, 2951: 2950, // strings
}

const maxSafeInteger = "9007199254740991" // 2^53 - 1: the largest that a JavaScript number holds exactly

// appendRow appends the row as a JSON object. Columns that the log does not carry are left out.
func appendRow(dst []byte, columns []Column, values []Value, keysOnly bool) []byte {
	dst = append(dst, '{')
	first := true
	for i := range columns {
		if i >= len(values) || values[i].Kind == Unchanged || keysOnly && !columns[i].Key {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = appendString(dst, columns[i].Name)
		dst = append(dst, ':')
		if values[i].Kind == Null {
			dst = append(dst, "null"...)
		} else {
			dst = appendValue(dst, columns[i].TypeOID, values[i].Data)
		}
	}
	return append(dst, '}')
}

// appendValue appends a value's text form as JSON: bool, integers up to 2^53, floats, json and arrays as what they are,
// timestamps with a T as PostgREST writes them, all else (numeric, larger integers, NaN) as a string. Always valid JSON.
func appendValue(dst []byte, oid uint32, text []byte) []byte {
	switch oid {
	case oidBool:
		if len(text) == 1 && text[0] == 't' {
			return append(dst, "true"...)
		}
		if len(text) == 1 && text[0] == 'f' {
			return append(dst, "false"...)
		}
	case oidInt2, oidInt4, oidInt8:
		if isSafeInteger(text) {
			return append(dst, text...)
		}
	case oidFloat4, oidFloat8:
		if isNumber(text) {
			return append(dst, text...)
		}
	case oidJSON, oidJSONB:
		if json.Valid(text) && utf8.Valid(text) {
			return append(dst, text...)
		}
	case oidTimestamptz, oidTimestamp:
		return appendTime(dst, text, oid == oidTimestamptz)
	default:
		if element, ok := elements[oid]; ok {
			if out, ok := appendArray(dst, element, text); ok {
				return out
			}
		}
	}
	return appendString(dst, text)
}

// isSafeInteger tells whether text is an integer as JSON writes it that a JavaScript number holds exactly.
func isSafeInteger(text []byte) bool {
	digits := text
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > len(maxSafeInteger) || digits[0] == '0' && len(text) > 1 {
		return false
	}
	for _, c := range digits {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(digits) < len(maxSafeInteger) || string(digits) <= maxSafeInteger
}

// isNumber tells whether text is a number as JSON writes it (RFC 8259, section 6).
func isNumber(text []byte) bool {
	i := 0
	if i < len(text) && text[i] == '-' {
		i++
	}
	switch n := digitsAt(text, i); {
	case n == 0 || n > 1 && text[i] == '0':
		return false
	default:
		i += n
	}
	if i < len(text) && text[i] == '.' {
		n := digitsAt(text, i+1)
		if n == 0 {
			return false
		}
		i += 1 + n
	}
	if i < len(text) && (text[i] == 'e' || text[i] == 'E') {
		i++
		if i < len(text) && (text[i] == '+' || text[i] == '-') {
			i++
		}
		n := digitsAt(text, i)
		if n == 0 {
			return false
		}
		i += n
	}
	return i == len(text)
}

func digitsAt(text []byte, i int) int {
	n := 0
	for i+n < len(text) && text[i+n] >= '0' && text[i+n] <= '9' {
		n++
	}
	return n
}

// appendTime writes `2026-01-02 03:04:05.6+00` as "2026-01-02T03:04:05.6+00:00". What has another shape (infinity, BC, a
// year of five digits) stays as Postgres wrote it.
func appendTime(dst, text []byte, zoned bool) []byte {
	const date, clock = len("2026-01-02"), len("2026-01-02 03:04:05")
	if len(text) < clock || text[4] != '-' || text[date] != ' ' || text[len(text)-1] < '0' || text[len(text)-1] > '9' {
		return appendString(dst, text)
	}
	start := len(dst)
	dst = appendString(dst, text)
	if len(dst)-start != len(text)+2 { // something was escaped: not what it seemed
		return dst
	}
	dst[start+1+date] = 'T'
	sign := len(text) - len("+00")
	if zoned && sign >= clock && (text[sign] == '+' || text[sign] == '-') {
		dst = append(dst[:len(dst)-1], `:00"`...)
	}
	return dst
}

const hexDigits = "0123456789abcdef"

// appendString appends a JSON string. Bytes that are no UTF-8 become U+FFFD.
func appendString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	plain := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c != '"' && c != '\\' && c < utf8.RuneSelf {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
			if r != utf8.RuneError || size > 1 {
				i += size
				continue
			}
		}
		dst = append(dst, s[plain:i]...)
		switch {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c == '\n':
			dst = append(dst, '\\', 'n')
		case c == '\t':
			dst = append(dst, '\\', 't')
		case c == '\r':
			dst = append(dst, '\\', 'r')
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		default:
			dst = append(dst, `\ufffd`...)
		}
		i++
		plain = i
	}
	dst = append(dst, s[plain:]...)
	return append(dst, '"')
}
