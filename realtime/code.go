package realtime

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"vigil/realtime/phoenix"
)

// Code names one reason that a client can see. Codes are stable; the text after them is not. ERRORS.md lists each.
type Code string

// The codes, as ERRORS.md explains them. A test keeps the two equal.
const (
	CodeAPIKeyMissing           Code = "APIKeyMissing"
	CodeAPIKeyInvalid           Code = "APIKeyInvalid"
	CodeChannelRateLimitReached Code = "ChannelRateLimitReached"
	CodeClientJoinRateLimit     Code = "ClientJoinRateLimitReached"
	CodeConnectionRateLimit     Code = "ConnectionRateLimitReached"
	CodeContentType             Code = "ContentTypeUnsupported"
	CodeCursorInvalid           Code = "CursorInvalid"
	CodeCursorMissing           Code = "CursorMissing"
	CodeCursorNotKept           Code = "CursorNotKept"
	CodeHandshakeRateLimit      Code = "HandshakeRateLimitReached"
	CodeHistoryUnavailable      Code = "HistoryUnavailable"
	CodeIdentityChanged         Code = "IdentityChanged"
	CodeInvalidJWTToken         Code = "InvalidJWTToken"
	CodeInvalidPayload          Code = "InvalidPayload"
	CodeJwtSignatureError       Code = "JwtSignatureError"
	CodeLogEpochChanged         Code = "LogEpochChanged"
	CodeLoginEnded              Code = "LoginEnded"
	CodeMalformedJWT            Code = "MalformedJWT"
	CodeMessageRateLimit        Code = "MessageRateLimitReached"
	CodeMethodNotAllowed        Code = "MethodNotAllowed"
	CodeNotFound                Code = "NotFound"
	CodeOriginNotAllowed        Code = "OriginNotAllowed"
	CodePayloadTooLarge         Code = "PayloadTooLarge"
	CodePersistUnsupported      Code = "PersistUnsupported"
	CodePostgresChanges         Code = "PostgresChangesUnsupported"
	CodePresenceLimitReached    Code = "PresenceLimitReached"
	CodePrivateOnly             Code = "PrivateOnly"
	CodeRealtimeRestarting      Code = "RealtimeRestarting"
	CodeReplayTruncated         Code = "ReplayTruncated"
	CodeSlowConsumer            Code = "SlowConsumer"
	CodeTokenExpiring           Code = "TokenExpiring"
	CodeTokenMissing            Code = "TokenMissing"
	CodeTopicNameRequired       Code = "TopicNameRequired"
	CodeUnableToConnect         Code = "UnableToConnectToProject"
	CodeUnauthorized            Code = "Unauthorized"
	CodeUnknownEvent            Code = "UnknownEvent"
	CodeUnmatchedTopic          Code = "unmatched topic"
	CodeVersionUnsupported      Code = "VersionUnsupported"
)

// fault is a Code with its text for people. Neither may hold a token, a payload or a name.
type fault struct {
	code Code
	text string
}

func (f fault) String() string {
	if f.text == "" {
		return string(f.code)
	}
	return string(f.code) + ": " + f.text
}

// unauthorized is the refusal of a join, word for word the one realtime-js' users know.
func unauthorized(topic string) fault {
	return fault{CodeUnauthorized, "You do not have permissions to read from this Channel topic: " + topic}
}

// refusal is an error of Config.Authenticate that says why, in words for the client.
type refusal interface {
	error
	Refusal() (code, text string)
}

// tokenFault turns an error of Config.Authenticate into what the client is told. An error that does not say more is
// InvalidJWTToken without its text, which is not meant for the client.
func tokenFault(err error) fault {
	var temporary interface{ Temporary() bool }
	if errors.Is(err, context.DeadlineExceeded) || errors.As(err, &temporary) && temporary.Temporary() {
		return fault{CodeUnableToConnect, "The token could not be verified now, please try again"}
	}
	var r refusal
	if errors.As(err, &r) {
		code, text := r.Refusal()
		switch c := Code(code); c {
		case CodeInvalidJWTToken, CodeMalformedJWT, CodeJwtSignatureError:
			return fault{c, text}
		}
	}
	return fault{CodeInvalidJWTToken, "The token is not valid"}
}

// systemMessage is the payload of a system message. expires_at, in seconds since 1970, is for token only; from, to and
// missed are for recovery only.
type systemMessage struct {
	Extension string `json:"extension"`
	Status    string `json:"status"`
	Message   string `json:"message"`
	Channel   string `json:"channel"`
	Code      Code   `json:"code,omitempty"`
	ExpiresAt int64  `json:"expires_at,omitempty"`
	*recovery
}

func (c *channel) systemError(f fault) phoenix.Message {
	message := f.text
	if message == "" {
		message = string(f.code)
	}
	return c.system(systemMessage{Extension: "system", Status: "error", Message: message, Code: f.code})
}

// tokenExpiring says that the channel will end unless it is shown another token.
func (c *channel) tokenExpiring(at time.Time, left time.Duration) phoenix.Message {
	seconds := strconv.FormatInt(int64(left.Round(time.Second)/time.Second), 10)
	return c.system(systemMessage{Extension: "token", Status: "ok", Message: "The token expires in " + seconds + " seconds: refresh it",
		Code: CodeTokenExpiring, ExpiresAt: at.Unix()})
}

func (c *channel) system(m systemMessage) phoenix.Message {
	m.Channel = c.topic
	return phoenix.Message{JoinRef: c.joinRef, Topic: c.wire, Event: phoenix.EventSystem, Payload: mustJSON(m)}
}

// Error makes fault usable where an error is returned inside the package.
func (f fault) Error() string { return fmt.Sprintf("refused: %s", f.code) }
