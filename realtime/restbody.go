package realtime

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"

	"vigil/realtime/phoenix"
)

// target is what a path of broadcasts by REST names: a batch, whose body names the topics, or one event.
type target struct {
	batch bool
	topic string
	event string
}

// The parts of such a path: …/api/broadcast and …/api/broadcast/<topic>/events/<event>.
const (
	batchParts = 2
	eventParts = 5
)

// parseTarget reads an escaped path. False: it is none of broadcasts.
func parseTarget(path string) (target, bool) {
	parts := strings.Split(path, "/")
	tail := func(n int) []string { return parts[max(0, len(parts)-n):] }
	if t := tail(eventParts); len(t) == eventParts && t[0] == "api" && t[1] == "broadcast" && t[3] == "events" {
		topic, err := url.PathUnescape(t[2])
		event, err2 := url.PathUnescape(t[4])
		return target{topic: topic, event: event}, err == nil && err2 == nil
	}
	t := tail(batchParts)
	return target{batch: true}, len(t) == batchParts && t[0] == "api" && t[1] == "broadcast"
}

// posting is one client broadcast that came by REST.
type posting struct {
	key       roomKey
	broadcast phoenix.Broadcast
}

// newPost makes one of parts that are UTF-8; a JSON payload is valid, or empty for none.
func newPost(topic, event string, private bool, encoding phoenix.Encoding, payload []byte) (posting, *fault) {
	switch {
	case topic == "":
		return posting{}, &errNoTopic
	case len(phoenix.TopicPrefix)+len(topic) > phoenix.MaxHeaderBytes:
		return posting{}, &fault{CodeInvalidPayload, "The topic's name is too long"}
	case event == "":
		return posting{}, &errNoName
	case len(event) > phoenix.MaxHeaderBytes:
		return posting{}, &fault{CodeInvalidPayload, "The event's name is too long"}
	}
	if encoding == phoenix.JSON && isNull(payload) {
		payload = []byte("{}")
	}
	return posting{roomKey{topic, private},
		phoenix.Broadcast{Topic: phoenix.TopicPrefix + topic, Event: event, Encoding: encoding, Payload: payload}}, nil
}

// readEvent reads the one event that a path names. status is the answer's where it cannot be.
func readEvent(to target, query url.Values, raw bool, body []byte) (p posting, status int, f *fault) {
	for name, values := range query {
		if (name == "persist" || strings.HasPrefix(name, "persist[")) && values[0] != "false" {
			return posting{}, http.StatusUnprocessableEntity, &errPersist
		}
	}
	encoding := phoenix.Raw
	if !raw {
		encoding = phoenix.JSON
		if body = bytes.TrimSpace(body); len(body) > 0 && (!utf8.Valid(body) || !json.Valid(body)) {
			return posting{}, http.StatusUnprocessableEntity, &errNoJSON
		}
	}
	if !utf8.ValidString(to.topic) || !utf8.ValidString(to.event) {
		return posting{}, http.StatusUnprocessableEntity, &fault{CodeInvalidPayload, "Topic and event must be UTF-8"}
	}
	p, f = newPost(to.topic, to.event, query.Get("private") == "true", encoding, body)
	return p, http.StatusUnprocessableEntity, f
}

var errNoJSON = fault{CodeInvalidPayload, "The body must be JSON"}

// batchMessage is one message of a batch.
type batchMessage struct {
	Topic   string          `json:"topic"`
	Event   string          `json:"event"`
	Payload json.RawMessage `json:"payload"`
	Private flag            `json:"private"`
	Persist json.RawMessage `json:"persist"`
}

// readBatch reads {"messages": [{topic, event, payload, private}]}. If any message cannot be read, none is given.
func readBatch(body []byte, limits Limits) ([]posting, *rejection) {
	invalid := func(text string) ([]posting, *rejection) {
		return nil, &rejection{status: http.StatusUnprocessableEntity, fault: fault{CodeInvalidPayload, text}}
	}
	var batch struct {
		Messages []json.RawMessage `json:"messages"`
	}
	switch {
	case !utf8.Valid(body) || json.Unmarshal(body, &batch) != nil:
		return invalid(`The body must be {"messages": [{"topic", "event", "payload", "private"}]}`)
	case len(batch.Messages) == 0:
		return invalid("There are no messages")
	case len(batch.Messages) > limits.UserBroadcastBurst:
		return invalid("A batch may hold " + strconv.Itoa(limits.UserBroadcastBurst) + " messages")
	}
	posts := make([]posting, 0, len(batch.Messages))
	var no *rejection
	for i, raw := range batch.Messages {
		p, status, f := readMessage(raw, limits.BroadcastBytes)
		if f == nil {
			posts = append(posts, p)
			continue
		}
		if no == nil {
			no = &rejection{status: status, fault: *f}
		}
		no.errors = append(no.errors, indexError{i, f.code, f.text})
	}
	if no != nil {
		return nil, no
	}
	return posts, nil
}

func readMessage(raw json.RawMessage, most int) (p posting, status int, f *fault) {
	var m batchMessage
	if json.Unmarshal(raw, &m) != nil {
		return posting{}, http.StatusUnprocessableEntity, &fault{CodeInvalidPayload, "A message has topic, event, payload and private"}
	}
	switch {
	case len(m.Payload) > most:
		return posting{}, http.StatusRequestEntityTooLarge, &errPayload
	case !isNull(m.Persist) && string(m.Persist) != "false":
		return posting{}, http.StatusUnprocessableEntity, &errPersist
	}
	p, f = newPost(m.Topic, m.Event, bool(m.Private), phoenix.JSON, m.Payload)
	return p, http.StatusUnprocessableEntity, f
}
