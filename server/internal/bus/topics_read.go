package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	readBatch      = 512     // entries asked for at once
	readBatchBytes = 4 << 20 // likewise in bytes
	readTimeout    = 10 * time.Second
)

// Status codes of a direct get (ADR-31): the end of a batch, and nothing found.
const (
	statusEnd      = "204"
	statusNotFound = "404"
)

// directGet is the request of a batched direct get (ADR-31), which nats.go has no call for.
type directGet struct {
	Seq       uint64     `json:"seq,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"`
	Next      string     `json:"next_by_subj"`
	Batch     int        `json:"batch"`
	MaxBytes  int        `json:"max_bytes"`
}

// Read returns the topic's entries after a sequence, oldest first, at most limit.
func (t *Topics) Read(ctx context.Context, topic string, after uint64, limit int) ([]TopicEntry, error) {
	return t.page(ctx, directGet{Seq: after + 1}, topic, limit)
}

// Since returns the topic's entries stored at or after a time, oldest first, at most limit.
func (t *Topics) Since(ctx context.Context, topic string, since time.Time, limit int) ([]TopicEntry, error) {
	since = since.UTC()
	return t.page(ctx, directGet{StartTime: &since}, topic, limit)
}

func (t *Topics) page(ctx context.Context, req directGet, topic string, limit int) ([]TopicEntry, error) {
	var found []TopicEntry
	for limit > len(found) {
		req.Next, req.MaxBytes = t.prefix+encodeTopic(topic), readBatchBytes
		req.Batch = min(limit-len(found), readBatch)
		before := len(found)
		var more bool
		var err error
		if found, more, err = t.batch(ctx, req, topic, found); err != nil {
			return nil, fmt.Errorf("read entries of a topic: %w", err)
		}
		if !more || len(found) == before {
			break
		}
		req.StartTime, req.Seq = nil, found[len(found)-1].Seq+1
	}
	return found, nil
}

// batch makes one request and appends what comes to found. more is false when the topic has no further entry.
func (t *Topics) batch(ctx context.Context, req directGet, topic string, found []TopicEntry) (_ []TopicEntry, more bool, _ error) {
	ctx, stop := context.WithTimeout(ctx, readTimeout)
	defer stop()
	body, err := json.Marshal(req)
	if err != nil {
		return nil, false, err
	}
	inbox := nats.NewInbox()
	sub, err := t.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, false, classify(err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // the connection is gone then
	if err := t.nc.PublishRequest("$JS.API.DIRECT.GET."+t.name, inbox, body); err != nil {
		return nil, false, classify(err)
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, false, classify(err)
		}
		switch status := m.Header.Get("Status"); status {
		case "":
		case statusEnd:
			return found, m.Header.Get("Nats-Num-Pending") != "0", nil
		case statusNotFound:
			return found, false, nil
		default:
			return nil, false, fmt.Errorf("%w: direct get answered %s", ErrUnavailable, status)
		}
		e := TopicEntry{Topic: topic, Data: m.Data}
		if e.Seq, err = parseSequence(m); err != nil {
			return nil, false, err
		}
		if e.At, err = time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer)); err != nil {
			return nil, false, fmt.Errorf("time of an entry: %w", err)
		}
		found = append(found, e)
	}
}

func parseSequence(m *nats.Msg) (uint64, error) {
	seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("sequence of an entry: %w", err)
	}
	return seq, nil
}
