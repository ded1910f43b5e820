package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// nearlyFull is the share of TOPICS' limit, in percent, above which the janitor keeps less than TopicsKeep.
const nearlyFull = 80

// Sweep removes entries older than TopicsKeep, and never the last of a topic. While TOPICS is nearly full it removes the
// older half of what is there as well: a cursor before that is answered with what cannot be recovered. Run calls it.
func (t *Topics) Sweep(ctx context.Context, now time.Time) error {
	info, err := t.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("read state of TOPICS: %w", classify(err))
	}
	if info.State.Msgs == 0 {
		return nil
	}
	cut, err := t.firstSince(ctx, now.Add(-t.keep), info.State.LastSeq)
	if err != nil {
		return err
	}
	if info.State.Bytes > t.maxBytes/100*nearlyFull {
		cut = max(cut, info.State.FirstSeq+(info.State.LastSeq-info.State.FirstSeq)/2)
	}
	if cut <= info.State.FirstSeq {
		return nil
	}
	subjects, err := t.stream.Info(ctx, jetstream.WithSubjectFilter(t.prefix+"*"))
	if err != nil {
		return fmt.Errorf("list topics: %w", classify(err))
	}
	for subject, count := range subjects.State.Subjects {
		if count < 2 {
			continue
		}
		if err := t.sweepSubject(ctx, subject, cut); err != nil {
			return err
		}
	}
	return nil
}

// sweepSubject purges one topic below cut, or below its last entry if that is lower.
func (t *Topics) sweepSubject(ctx context.Context, subject string, cut uint64) error {
	last, err := t.stream.GetLastMsgForSubject(ctx, subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read last entry of a topic: %w", classify(err))
	}
	if err := t.stream.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(min(cut, last.Sequence))); err != nil {
		return fmt.Errorf("purge a topic below %d: %w", cut, classify(err))
	}
	return nil
}

// firstSince is the sequence of the first entry stored at or after a time, of any topic; one past last when there is none.
func (t *Topics) firstSince(ctx context.Context, at time.Time, last uint64) (uint64, error) {
	at = at.UTC()
	body, err := json.Marshal(struct {
		StartTime time.Time `json:"start_time"`
		Next      string    `json:"next_by_subj"`
	}{at, t.prefix + "*"})
	if err != nil {
		return 0, err
	}
	m, err := t.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+t.name, body)
	if err != nil {
		return 0, fmt.Errorf("find an entry by time: %w", classify(err))
	}
	if m.Header.Get("Status") == statusNotFound {
		return last + 1, nil
	}
	return parseSequence(m)
}
