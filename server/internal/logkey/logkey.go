// Package logkey holds the only keys that a log line or an error attribute may carry.
//
// Guarantee: telemetry's handler drops every attribute whose key is not listed here, so a line can carry ids, LSNs,
// counts, durations, codes and severities, and never text, ciphertext, names, e-mail, tokens or prompts.
package logkey

// The keys, sorted. Each names an id, a count, a duration, a code or a severity.
const (
	Address      = "address"
	Alert        = "alert"
	Attempt      = "attempt"
	Bytes        = "bytes"
	Cause        = "cause"
	Channel      = "channel"
	Code         = "code"
	Consumer     = "consumer"
	Count        = "count"
	Database     = "database"
	Device       = "device"
	Duration     = "duration"
	Entry        = "entry"
	Epoch        = "epoch"
	Error        = "error"
	Event        = "event"
	Level        = "level"
	Login        = "login"
	LSN          = "lsn"
	Message      = "message"
	Method       = "method"
	Organization = "organization"
	Part         = "part"
	Path         = "path"
	Point        = "point"
	Position     = "position"
	Publication  = "publication"
	Reason       = "reason"
	Request      = "request"
	Sequence     = "sequence"
	Session      = "session"
	Signal       = "signal"
	Slot         = "slot"
	Stage        = "stage"
	Status       = "status"
	Stream       = "stream"
	Subject      = "subject"
	Table        = "table"
	Timeline     = "timeline"
	Topic        = "topic"
	User         = "user"
	Version      = "version"
)

var allowed = map[string]bool{
	Address:      true,
	Alert:        true,
	Attempt:      true,
	Bytes:        true,
	Cause:        true,
	Channel:      true,
	Code:         true,
	Consumer:     true,
	Count:        true,
	Database:     true,
	Device:       true,
	Duration:     true,
	Entry:        true,
	Epoch:        true,
	Error:        true,
	Event:        true,
	Level:        true,
	LSN:          true,
	Login:        true,
	Message:      true,
	Method:       true,
	Organization: true,
	Part:         true,
	Path:         true,
	Point:        true,
	Position:     true,
	Publication:  true,
	Reason:       true,
	Request:      true,
	Sequence:     true,
	Session:      true,
	Signal:       true,
	Slot:         true,
	Stage:        true,
	Status:       true,
	Stream:       true,
	Subject:      true,
	Table:        true,
	Timeline:     true,
	Topic:        true,
	User:         true,
	Version:      true,
}

// Allowed says whether key is one of this package's constants.
func Allowed(key string) bool { return allowed[key] }
