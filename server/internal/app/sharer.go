package app

import (
	"context"
	"fmt"

	"github.com/google/uuid"

	"vigil/server/internal/envelope"
	"vigil/server/internal/logkey"
	"vigil/server/internal/triage"
)

// shareMost is how many keys are asked for at once, those of the newest alerts first: what is refused stays due, and is looked at
// again each time.
const shareMost = 1000

// newSharer makes what gives the key of an alert's message to the devices of those whom the alert paged, where the clients agreed to
// that: somebody must be able to read what paged them. What decides is asked of the tables at each look, and again by the
// database in the transaction that gives; the clients' signatures are verified here. What a crash left is given at the next start.
func (f *flow) newSharer() *errand {
	s := &sharer{flow: f, most: shareMost, refused: make(map[uuid.UUID]string), at: faultsAt("sharer")}
	return f.newErrand("sharer", s.look,
		"alerts", "alert_events", "alert_recipients", "devices", "session_epochs", "session_consents", "session_participants", "memberships")
}

type sharer struct {
	*flow
	at      func(point string)
	most    int
	refused map[uuid.UUID]string // alerts whose key could not be given at the last look, and why, so that it is said once
}

// sealed is what is given on account of one alert.
type sealed struct {
	grants  []triage.Grant
	session uuid.UUID
}

// grantID is which epoch's key goes to which device.
type grantID struct {
	session, device uuid.UUID
	epoch           int32
}

// look gives all that is due and can be given. What is refused, or fails, does not hold up what is older.
func (s *sharer) look(ctx context.Context) error {
	refused := make(map[uuid.UUID]string)
	err := drain(ctx, s.most, s.store.CrisisGrantsDue, func(d *triage.DueGrant) grantID { return grantID{d.SessionID, d.DeviceID, d.Epoch} },
		func(ctx context.Context, due []triage.DueGrant) []error { return s.giveAll(ctx, due, refused) })
	s.refused = refused
	return err
}

// giveAll gives what can be given of a page, and gives the faults.
func (s *sharer) giveAll(ctx context.Context, due []triage.DueGrant, refused map[uuid.UUID]string) (faults []error) {
	var order []uuid.UUID
	byAlert := make(map[uuid.UUID]*sealed)
	for i := range due {
		d := &due[i]
		grant, err := s.grant(ctx, d)
		switch {
		case err == nil:
			if byAlert[d.AlertID] == nil {
				byAlert[d.AlertID] = &sealed{session: d.SessionID}
				order = append(order, d.AlertID)
			}
			byAlert[d.AlertID].grants = append(byAlert[d.AlertID].grants, grant)
		case envelope.Reason(err) != "":
			s.refuse(ctx, d, envelope.Reason(err), refused)
		default:
			faults = append(faults, err)
		}
	}
	for _, alert := range order {
		if err := s.give(ctx, alert, byAlert[alert]); err != nil {
			faults = append(faults, err)
		}
	}
	return faults
}

// grant seals the epoch's key to the device. What the envelope refuses has a reason (envelope.Reason).
func (s *sharer) grant(ctx context.Context, d *triage.DueGrant) (triage.Grant, error) {
	e, err := opener{s.ring, s.store}.epoch(ctx, triage.Message{SessionID: d.SessionID, Epoch: d.Epoch})
	if err != nil {
		return triage.Grant{}, err
	}
	stored, err := s.store.Consents(ctx, d.SessionID)
	if err != nil {
		return triage.Grant{}, err
	}
	consents := make([]envelope.ConsentRow, len(stored))
	for i := range stored {
		consents[i] = consentRow(&stored[i])
	}
	to := envelope.Member{KID: d.DeviceID, Role: envelope.RoleOnCall}
	if to.EncPub, err = envelope.DecodeText(d.EncPub); err != nil {
		return triage.Grant{}, fmt.Errorf("key of device %s: %w", d.DeviceID, err)
	}
	if to.SigPub, err = envelope.DecodeText(d.SigPub); err != nil {
		return triage.Grant{}, fmt.Errorf("key of device %s: %w", d.DeviceID, err)
	}
	g, err := s.ring.Grant(e, to, d.AlertID, consents...)
	if err != nil {
		return triage.Grant{}, err
	}
	return triage.Grant{
		SessionID: d.SessionID, Epoch: d.Epoch, DeviceID: d.DeviceID, ByDeviceID: g.By, Wrap: g.Wrap, Signature: g.Signature,
	}, nil
}

// refuse says once why whom an alert paged cannot read its message.
func (s *sharer) refuse(ctx context.Context, d *triage.DueGrant, reason string, refused map[uuid.UUID]string) {
	said := s.refused[d.AlertID] == reason || refused[d.AlertID] == reason
	refused[d.AlertID] = reason
	if said {
		return
	}
	s.metrics.Grants.WithLabelValues(reason).Inc()
	s.log.ErrorContext(ctx, "whom an alert paged cannot be given the key of its message",
		logkey.Alert, d.AlertID, logkey.Session, d.SessionID, logkey.Epoch, d.Epoch, logkey.Device, d.DeviceID, logkey.Reason, reason)
}

func (s *sharer) give(ctx context.Context, alert uuid.UUID, what *sealed) error {
	if s.at != nil {
		s.at("before_give")
	}
	given, err := s.store.GrantCrisisAccess(ctx, alert, what.grants)
	if err != nil {
		return err
	}
	s.metrics.Grants.WithLabelValues("given").Add(float64(given))
	s.log.InfoContext(ctx, "whom an alert paged was given the keys of its session", logkey.Alert, alert, logkey.Session, what.session, logkey.Count, given)
	return nil
}
