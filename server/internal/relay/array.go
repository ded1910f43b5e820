package relay

import "bytes"

// maxDimensions is Postgres' MAXDIM.
const maxDimensions = 6

// arrayReader reads Postgres' text form of an array: {1,NULL,"a \"b\""}, nested for more dimensions.
// Source: postgresql.org/docs/17/arrays.html, "Array Input and Output Syntax".
type arrayReader struct {
	text    []byte
	at      int
	element uint32
	scratch []byte // an element without its quotes
}

// appendArray appends the array as JSON; false, and dst as it was, when text is no array.
func appendArray(dst []byte, element uint32, text []byte) ([]byte, bool) {
	r := arrayReader{text: text, element: element}
	if len(text) > 0 && text[0] == '[' { // bounds that do not begin at 1: [0:1]={…}
		eq := bytes.IndexByte(text, '=')
		if eq < 0 {
			return dst, false
		}
		r.at = eq + 1
	}
	out, ok := r.list(dst, 1)
	if !ok || r.at != len(text) {
		return dst[:len(dst):len(dst)], false
	}
	return out, true
}

// list reads one {…}.
func (r *arrayReader) list(dst []byte, depth int) ([]byte, bool) {
	if depth > maxDimensions || !r.take('{') {
		return nil, false
	}
	dst = append(dst, '[')
	if r.take('}') {
		return append(dst, ']'), true
	}
	for {
		var ok bool
		if r.at < len(r.text) && r.text[r.at] == '{' {
			dst, ok = r.list(dst, depth+1)
		} else {
			dst, ok = r.item(dst)
		}
		if !ok {
			return nil, false
		}
		if r.take('}') {
			return append(dst, ']'), true
		}
		if !r.take(',') {
			return nil, false
		}
		dst = append(dst, ',')
	}
}

func (r *arrayReader) take(c byte) bool {
	if r.at < len(r.text) && r.text[r.at] == c {
		r.at++
		return true
	}
	return false
}

// item reads one element, quoted or not.
func (r *arrayReader) item(dst []byte) ([]byte, bool) {
	if r.take('"') {
		r.scratch = r.scratch[:0]
		for r.at < len(r.text) {
			c := r.text[r.at]
			r.at++
			switch c {
			case '"':
				return appendValue(dst, r.element, r.scratch), true
			case '\\':
				if r.at == len(r.text) {
					return nil, false
				}
				r.scratch = append(r.scratch, r.text[r.at])
				r.at++
			default:
				r.scratch = append(r.scratch, c)
			}
		}
		return nil, false
	}
	start := r.at
	for r.at < len(r.text) && r.text[r.at] != ',' && r.text[r.at] != '}' {
		if c := r.text[r.at]; c == '{' || c == '"' || c == '\\' {
			return nil, false
		}
		r.at++
	}
	item := r.text[start:r.at]
	if len(item) == 0 {
		return nil, false
	}
	if bytes.EqualFold(item, []byte("NULL")) {
		return append(dst, "null"...), true
	}
	return appendValue(dst, r.element, item), true
}
