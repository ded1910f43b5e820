package bus

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// What a caller may branch on with errors.Is.
var (
	// ErrConflict: another writer appended, or an earlier append was lost. Call Last and go on from what it says.
	ErrConflict = errors.New("stream has another last sequence")
	// ErrFull: the stream is at its size limit, the store refuses writes, or the disk has too little space. Nothing was dropped.
	ErrFull = errors.New("bus is full")
	// ErrTooLarge: the entry is larger than Config.MaxEntryBytes.
	ErrTooLarge = errors.New("entry is too large")
	// ErrTaken: another process runs the same durable, or changed the same record.
	ErrTaken = errors.New("record was changed by another process")
	// ErrDamaged: entries are missing inside a stream. The bus must be opened again.
	ErrDamaged = errors.New("stream is damaged")
	// ErrLocked: another process has this data directory open.
	ErrLocked = errors.New("data directory is in use by another process")
	// ErrUnavailable: the server did not answer, or JetStream is off. Temporary unless it lasts.
	ErrUnavailable = errors.New("bus is unavailable")
)

// JetStream's numbers, from its errors.json, that nats.go has no names for.
const (
	codeInsufficientResources jetstream.ErrorCode = 10023
	codeStorageExceeded       jetstream.ErrorCode = 10047
	codeStoreFailed           jetstream.ErrorCode = 10077
)

// classify gives an error of JetStream the sentinel that callers branch on.
func classify(err error) error {
	if err == nil {
		return nil
	}
	var api *jetstream.APIError
	if errors.As(err, &api) {
		switch api.ErrorCode {
		case jetstream.JSErrCodeStreamWrongLastSequence, jetstream.JSErrCodeStreamWrongLastSequenceConstant:
			return fmt.Errorf("%w: %w", ErrConflict, err)
		case codeInsufficientResources, codeStorageExceeded, codeStoreFailed:
			return fmt.Errorf("%w: %w", ErrFull, err)
		case jetstream.JSErrCodeStreamMessageExceedsMaximum:
			return fmt.Errorf("%w: %w", ErrTooLarge, err)
		}
		if api.Code == http.StatusServiceUnavailable { // no leader yet, a stream that is offline, JetStream that is off
			return fmt.Errorf("%w: %w", ErrUnavailable, err)
		}
		return err
	}
	if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrConnectionClosed) ||
		errors.Is(err, nats.ErrDisconnected) || errors.Is(err, nats.ErrConnectionReconnecting) || errors.Is(err, nats.ErrReconnectBufExceeded) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}
