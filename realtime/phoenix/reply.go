package phoenix

import "encoding/json"

// Reply gives the phx_reply to a message: its refs as they came, status ok or error, and response, a JSON object (empty
// means {}).
func Reply(to Message, ok bool, response json.RawMessage) Message {
	if len(response) == 0 {
		response = json.RawMessage("{}")
	}
	payload := []byte(`{"status":"error","response":`)
	if ok {
		payload = []byte(`{"status":"ok","response":`)
	}
	payload = append(append(payload, response...), '}')
	return Message{JoinRef: to.JoinRef, Ref: to.Ref, Topic: to.Topic, Event: EventReply, Payload: payload}
}

// Refuse gives the error reply to a message with {"reason": reason}, which realtime-js hands to the app as it is.
func Refuse(to Message, reason string) Message {
	response := AppendString([]byte(`{"reason":`), reason)
	return Reply(to, false, append(response, '}'))
}

// End gives phx_close or phx_error for the channel that was joined with joinRef. The client acts on it only if ref is the
// current join ref too.
func End(topic, event, joinRef string) Message {
	return Message{JoinRef: joinRef, Ref: joinRef, Topic: topic, Event: event}
}
