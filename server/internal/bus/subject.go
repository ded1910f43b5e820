package bus

import (
	"errors"
	"fmt"
	"strings"
)

const hexDigits = "0123456789ABCDEF"

// plain tells whether a byte stands for itself in a subject's token.
func plain(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == ':'
}

// encodeTopic makes one token of a subject out of any text: bytes that could mean something to NATS become =XX.
func encodeTopic(topic string) string {
	n := 0
	for i := range len(topic) {
		if !plain(topic[i]) {
			n++
		}
	}
	if n == 0 && topic != "" {
		return topic
	}
	if topic == "" {
		return "="
	}
	var b strings.Builder
	b.Grow(len(topic) + 2*n)
	for i := range len(topic) {
		if c := topic[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('=')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

var errToken = errors.New("not an encoded topic")

// decodeTopic undoes encodeTopic, and takes nothing that encodeTopic does not make.
func decodeTopic(token string) (string, error) {
	if token == "=" {
		return "", nil
	}
	if !strings.Contains(token, "=") {
		if token == "" || encodeTopic(token) != token {
			return "", fmt.Errorf("token of %d bytes: %w", len(token), errToken)
		}
		return token, nil
	}
	b := make([]byte, 0, len(token))
	for i := 0; i < len(token); i++ {
		if token[i] != '=' {
			b = append(b, token[i])
			continue
		}
		if i+2 >= len(token) {
			return "", fmt.Errorf("token of %d bytes: %w", len(token), errToken)
		}
		high, low := strings.IndexByte(hexDigits, token[i+1]), strings.IndexByte(hexDigits, token[i+2])
		if high < 0 || low < 0 {
			return "", fmt.Errorf("token of %d bytes: %w", len(token), errToken)
		}
		b = append(b, byte(high<<4|low))
		i += 2
	}
	if topic := string(b); encodeTopic(topic) == token {
		return topic, nil
	}
	return "", fmt.Errorf("token of %d bytes: %w", len(token), errToken)
}
