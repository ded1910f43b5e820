package suggest

import (
	"context"
	"errors"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
	"vigil/server/internal/logkey"
	"vigil/server/internal/triage"
)

const (
	bankFrom      = triage.LevelIntent // from here up a text is the bank's
	historyLimit  = 8                  // messages that a model is shown
	historyLength = 6000               // bytes of them, the latest first
	visibleTries  = 6                  // the log runs ahead of the tables
	visiblePause  = 5 * time.Millisecond
	answerTimeout = 30 * time.Second // of the database's part of one suggestion
)

// utterance is one opened message. It lives in one call of write.
type utterance struct {
	text       string
	fromClient bool
}

// errPanicked replaces a panic's value, which may quote what was opened.
var errPanicked = errors.New("panicked")

func notMade(t triage.SuggestionTask, reason triage.SuggestionReason) triage.Suggestion {
	return triage.Suggestion{ID: identity(t), MessageID: t.MessageID, Status: triage.SuggestionNotMade, Reason: reason}
}

// identity is the suggestion's id: the request's, or one that follows from the message, so that a repetition is the same.
func identity(t triage.SuggestionTask) uuid.UUID {
	if t.Request != uuid.Nil {
		return t.Request
	}
	return uuid.NewSHA1(t.MessageID, []byte("unasked"))
}

// answer takes one task to its end, or leaves it to the sweep.
func (d *Drafter) answer(ctx context.Context, t triage.SuggestionTask) {
	timeout := answerTimeout
	if d.config.Model != nil {
		timeout += 2 * d.config.Model.c.Timeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	basis, err := d.basis(ctx, t)
	if err != nil {
		d.failed(ctx, t, err)
		return
	}
	if basis == nil {
		return
	}
	s, ok := d.judge(t, basis)
	if !ok {
		return
	}
	if s.Status == triage.SuggestionOffered {
		if s, err = d.write(ctx, t, basis); err != nil {
			d.failed(ctx, t, err)
			if ctx.Err() != nil || !triage.IsPermanent(err) && time.Since(t.At) < d.config.Patience {
				return // the sweep comes back to it
			}
			s = notMade(t, triage.SuggestionNotOpened)
		}
	}
	d.record(ctx, t, s)
}

func (d *Drafter) failed(ctx context.Context, t triage.SuggestionTask, err error) {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return // this process ends: the next one makes it
	}
	if t.Request == uuid.Nil && !triage.IsPermanent(err) {
		d.swept.Store(false) // no row asks for it: the sweep looks for it
	}
	d.config.Counted(OutcomeFailed, "")
	d.config.Log.WarnContext(ctx, "suggestion was not made", logkey.Message, t.MessageID, logkey.Error, err)
}

// basis reads what decides, and waits for what the log has shown already. nil: there is nothing to answer, or not yet.
func (d *Drafter) basis(ctx context.Context, t triage.SuggestionTask) (*triage.SuggestionBasis, error) {
	for try := range visibleTries {
		if try > 0 {
			if err := pause(ctx, visiblePause<<try); err != nil {
				return nil, err
			}
		}
		b, ok, err := d.config.Book.SuggestionBasis(ctx, t.MessageID, t.Request)
		if err != nil {
			return nil, err
		}
		if ok && (b.Assessed && (t.Request == uuid.Nil || b.Request != "")) {
			d.unawait(t)
			return &b, nil
		}
		if ok && t.Request != uuid.Nil && b.Request != "" && try > 0 { // it is asked before it is assessed
			if time.Since(t.At) >= d.config.Patience {
				d.unawait(t)
				return &b, nil
			}
			d.await(t)
		}
	}
	return nil, nil //nolint:nilnil // nothing to answer is no error
}

func pause(ctx context.Context, duration time.Duration) error {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// judge decides whether a draft is to be made (offered, without anything yet), or why not. ok is false when nothing is to be
// recorded: it is not wanted any more, or somebody was first.
func (d *Drafter) judge(t triage.SuggestionTask, b *triage.SuggestionBasis) (s triage.Suggestion, ok bool) {
	asked := t.Request != uuid.Nil
	switch {
	case asked && b.Request != triage.SuggestionRequested, asked && b.Setting == triage.SuggestingOff:
		return s, false // the database withdraws what is asked of an organisation that turned it off
	case !asked && d.unwanted(b):
		d.config.Counted(OutcomeForgone, "")
		return s, false
	case b.Strict:
		return notMade(t, triage.SuggestionStrict), true
	case !b.Consented:
		return notMade(t, triage.SuggestionNoConsent), true
	case !b.Assessed || b.Unopened:
		return notMade(t, triage.SuggestionNotOpened), true
	case len(b.Devices) == 0:
		return notMade(t, triage.SuggestionNoDevice), true
	}
	return triage.Suggestion{Status: triage.SuggestionOffered}, true
}

// unwanted says whether a message gets nothing unasked.
func (d *Drafter) unwanted(b *triage.SuggestionBasis) bool {
	return b.Setting != triage.SuggestingElevated || !b.FromClient || b.Known || b.Answered || b.Ended ||
		!b.Policy.Reviews(b.Assessment) || time.Since(b.Message.CreatedAt) > d.config.Fresh
}

// write drafts and seals. It is where plaintext lives: neither what was opened nor what was drafted leaves this call but
// sealed, whatever happens in it.
func (d *Drafter) write(ctx context.Context, t triage.SuggestionTask, b *triage.SuggestionBasis) (s triage.Suggestion, err error) {
	defer func() {
		if recover() != nil {
			s, err = triage.Suggestion{}, errPanicked
		}
	}()
	d.config.At(AtBeforeDraft)
	move, ok := d.bank.Choose(b.Assessment, b.Message.ID, b.Used, b.Answers)
	if !ok {
		return notMade(t, triage.SuggestionNothingFits), nil
	}
	s = triage.Suggestion{
		ID: identity(t), MessageID: t.MessageID, Status: triage.SuggestionOffered,
		Source: triage.SuggestionBank, Move: move.ID, BankVersion: d.bank.Version,
	}
	draft := move.Text
	if text, ok := d.ask(ctx, b, move); ok {
		draft, s.Source, s.Model = text, triage.SuggestionModel, b.Model
	}
	if err := ctx.Err(); err != nil {
		return s, err
	}
	s.Seals, err = d.config.Envelope.Seal(ctx, b.Message, s.ID, b.Devices, draft)
	if err == nil && len(s.Seals) == 0 {
		return notMade(t, triage.SuggestionNoDevice), nil
	}
	return s, err
}

// bankOnly says whether the text must be the bank's.
func bankOnly(b *triage.SuggestionBasis) bool {
	return b.Assessment.Level >= bankFrom || b.Assessment.HarmOthers || b.Policy.Pages(b.Assessment)
}

// ask lets the model draft, if everything allows it. That is read before messages are opened, right before they leave, and
// again before what came of it is used.
func (d *Drafter) ask(ctx context.Context, b *triage.SuggestionBasis, move Move) (draft string, ok bool) {
	if d.config.Model == nil || b.Model == "" || bankOnly(b) || !d.mayLeave(ctx, b) {
		return "", false
	}
	talk, err := d.history(ctx, b)
	if err != nil {
		d.config.Log.WarnContext(ctx, "messages could not be opened for a model: the bank answers", logkey.Message, b.Message.ID, logkey.Error, err)
		return "", false
	}
	if !d.mayLeave(ctx, b) {
		return "", false
	}
	began := time.Now()
	draft, err = d.config.Model.Draft(ctx, b.Model, prompt(move, talk))
	outcome := CallDrafted
	if err != nil {
		outcome = CallUnreachable
		if failure, known := errors.AsType[*callError](err); known {
			outcome = failure.outcome
		}
	}
	d.config.Called(outcome)
	switch outcome {
	case CallDrafted:
		return draft, d.mayLeave(ctx, b)
	case CallRefused:
		d.config.Log.ErrorContext(ctx, "the model's server refuses: the bank answers", logkey.Code, outcome, logkey.Error, err)
	case CallPaused:
	default:
		d.config.Log.WarnContext(ctx, "the model gave no draft: the bank answers", logkey.Code, outcome, logkey.Duration, time.Since(began))
	}
	return "", false
}

func (d *Drafter) mayLeave(ctx context.Context, b *triage.SuggestionBasis) bool {
	may, err := d.config.Envelope.MayLeave(ctx, b.Message, b.Model)
	if err != nil {
		d.config.Log.WarnContext(ctx, "whether text may leave for a model could not be read: the bank answers", logkey.Session, b.Message.SessionID, logkey.Error, err)
		return false
	}
	return may
}

// history opens the session's last messages, the earliest first. One that does not open ends it: what is before it is left out.
func (d *Drafter) history(ctx context.Context, b *triage.SuggestionBasis) ([]utterance, error) {
	spoken, err := d.config.Book.SuggestionHistory(ctx, b.Message.SessionID, b.Message.Position, historyLimit)
	if err != nil {
		return nil, err
	}
	var talk []utterance
	length := 0
	for i, m := range spoken {
		said, err := d.open(ctx, m.Message)
		if err != nil && i == 0 {
			return nil, err
		}
		if length += len(said); err != nil || i > 0 && length > historyLength {
			break
		}
		talk = append(talk, utterance{said, m.FromClient})
	}
	slices.Reverse(talk)
	return talk, nil
}

// errContent is for a message that is no text.
var errContent = errors.New("not the content of a text message")

func (d *Drafter) open(ctx context.Context, m triage.Message) (string, error) {
	plaintext, err := d.config.Envelope.Open(ctx, m)
	defer clear(plaintext)
	if err != nil {
		return "", err
	}
	c, err := envelope.ParseContent(plaintext)
	if err != nil || c.Kind != envelope.KindText || c.Body == "" {
		return "", errContent
	}
	return cut(c.Body, historyLength), nil
}

// cut returns the first bytes of text, as whole characters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// record writes what came of a task, and tells what stands then.
func (d *Drafter) record(ctx context.Context, t triage.SuggestionTask, s triage.Suggestion) {
	d.config.At(AtBeforeRecord)
	stands, err := d.config.Book.RecordSuggestion(ctx, s)
	if err != nil {
		d.failed(ctx, t, err)
		return
	}
	d.config.At(AtAfterRecord)
	log := d.config.Log.With(logkey.Message, t.MessageID)
	switch {
	case stands == s.Status && s.Status == triage.SuggestionOffered:
		d.config.Counted(OutcomeOffered, string(s.Source))
		since := max(time.Since(t.At), 0) // by the database's clock
		d.config.Took(string(s.Source), since)
		log.InfoContext(ctx, "suggestion offered", logkey.Count, len(s.Seals), logkey.Duration, since)
	case stands == triage.SuggestionNotMade:
		reason := string(s.Reason)
		if reason == "" { // forbidden only when it was recorded; the row says by what
			reason = string(triage.SuggestionNotMade)
		}
		d.config.Counted(reason, "")
		log.InfoContext(ctx, "suggestion not made", logkey.Reason, reason)
	case stands == "" && t.Request == uuid.Nil:
		d.config.Counted(OutcomeForgone, "")
	default:
		d.config.Counted(OutcomeWithdrawn, "")
		log.InfoContext(ctx, "suggestion not offered: it was withdrawn or another was first", logkey.Status, string(stands))
	}
}
