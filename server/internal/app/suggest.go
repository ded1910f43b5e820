package app

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"vigil/server/internal/bus"
	"vigil/server/internal/envelope"
	"vigil/server/internal/store"
	"vigil/server/internal/suggest"
	"vigil/server/internal/triage"
)

// sealing is the envelope as suggestions need it: the pipeline's opener, and what seals a draft.
type sealing struct{ opener }

// Seal seals text to those of the devices that stand on the verified roster of m's epoch as a therapist's, with the analysis
// key that stands there. A row of devices alone gets nothing: whoever writes to that table could read drafts. Nor does a
// therapist's device that came after that epoch. A device is on a roster once
// another of the same person vouched for it (admitter).
func (s sealing) Seal(ctx context.Context, m triage.Message, suggestion uuid.UUID, to []uuid.UUID, text string) ([]triage.Seal, error) {
	e, err := s.epoch(ctx, m)
	if err != nil {
		return nil, classified(err)
	}
	place := envelope.Suggestion{ID: suggestion, Session: m.SessionID, Message: m.ID}
	seals := make([]triage.Seal, 0, len(to))
	for _, d := range to {
		member, known := e.Roster.Member(d)
		if !known || member.Role != envelope.RoleTherapist {
			continue
		}
		sealed, err := s.ring.SealSuggestion(e, member, place, []byte(text))
		if err != nil {
			return nil, classified(err)
		}
		seals = append(seals, triage.Seal{DeviceID: d, Sealed: sealed.Sealed, Signature: sealed.Signature})
	}
	return seals, nil
}

// MayLeave asks the tables at every call: the organisation, its route and the session allow it, and each client who takes part
// has a live consent that names external models, signed by a client's device on the roster of m's epoch.
func (s sealing) MayLeave(ctx context.Context, m triage.Message, model string) (bool, error) {
	consents, err := s.store.ExternalConsents(ctx, m.SessionID, model)
	if err != nil {
		return false, err
	}
	e, err := s.epoch(ctx, m)
	if err != nil {
		return false, classified(err)
	}
	verified := func(c store.Consent) bool {
		row := envelope.ConsentRow{
			ID: c.ID, Session: c.SessionID, Device: c.DeviceID, Scope: c.Scope, TextHash: c.TextHash, Signature: c.Signature,
		}
		return row.Covers(envelope.ScopeExternalModels) && row.Verify(e.Roster) == nil
	}
	for _, given := range consents {
		if !slices.ContainsFunc(given, verified) {
			return false, nil
		}
	}
	return len(consents) > 0, nil
}

// modelCalls bounds how many calls to the model are under way, so that other suggestions never wait for them.
const modelCalls = suggest.DefaultWorkers / 2

// newModel makes the client of the configured model; nil without one.
func newModel(r *resources) *suggest.Model {
	c := r.config
	if c.ModelURL == nil {
		return nil
	}
	return suggest.NewModel(suggest.ModelConfig{URL: c.ModelURL, Key: c.ModelKey.Reveal(), Timeout: c.ModelTimeout, Calls: modelCalls})
}

func (f *flow) newDrafter() (*suggest.Drafter, error) {
	log, tables := f.bus.Log(), store.New(f.aside)
	drafter, err := suggest.New(suggest.Config{
		Source: func(ctx context.Context, handle func(context.Context, []suggest.Entry) error) error {
			var buffer []suggest.Entry
			return f.consume(ctx, log, bus.Suggest, func() {}, func(ctx context.Context, batch []bus.Entry) error {
				buffer = buffer[:0]
				for _, e := range batch {
					buffer = append(buffer, suggest.Entry{Seq: e.Seq, Data: e.Data})
				}
				return handle(ctx, buffer)
			})
		},
		Envelope: sealing{opener{f.ring, tables}}, Book: tables, Backlog: tables, Model: f.model, Log: f.log,
		Forget: f.ring.Forget, ForgetAll: f.ring.ForgetAll,
		At:      faultsAt("suggest"),
		Counted: func(outcome, source string) { f.metrics.Suggestions.WithLabelValues(outcome, source).Inc() },
		Took: func(source string, since time.Duration) {
			f.metrics.SuggestionSeconds.WithLabelValues(source).Observe(since.Seconds())
		},
		Called: func(outcome string) { f.metrics.ModelCalls.WithLabelValues(outcome).Inc() },
	})
	if err != nil {
		return nil, fmt.Errorf("suggestions: %w", err)
	}
	return drafter, nil
}
