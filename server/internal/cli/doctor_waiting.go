package cli

import (
	"context"
	"strings"

	"vigil/server/internal/config"
)

// waiting are the errands that a sidecar which detects does within moments; more than waitingMinutes is a fault.
const waitingMinutes = 2

// examineWaiting looks for what waits for a sidecar that detects: devices that another vouched for, keys for whom an alert paged, and
// scores of strict messages; and for messages that should have been noted as not scored by now.
func (e *examination) examineWaiting(ctx context.Context, r *report, p *patient) {
	const check = "waiting"
	const query = `
		select
		  (select count(distinct d.device_id) from private.devices_to_admit(1000) d
		    join public.device_signatures s on s.id = d.signature_id where s.created_at < now() - $1 * interval '1 minute'),
		  (select count(*) from private.crisis_grants_due(1000) g
		    join public.alerts a on a.id = g.alert_id where a.raised_at < now() - $1 * interval '1 minute'),
		  (select count(*) from private.scores_due(1000) s where s.created_at < now() - $1 * interval '1 minute'),
		  (select count(*) from private.unscored_messages(2 * $1 * interval '1 minute', 1000))`
	var devices, keys, scores, unscored int
	if err := p.conn.QueryRow(ctx, query, waitingMinutes).Scan(&devices, &keys, &scores, &unscored); err != nil {
		r.fail(check, again, "what waits for the sidecar could not be read: %s", code(err))
		return
	}
	var what []string
	if devices > 0 {
		what = append(what, plural(devices, "device that its owner approved", "devices that their owners approved"))
	}
	if keys > 0 {
		what = append(what, plural(keys, "key for whom an alert paged", "keys for whom alerts paged"))
	}
	if scores > 0 {
		what = append(what, plural(scores, "score of a strict message", "scores of strict messages"))
	}
	if unscored > 0 {
		what = append(what, plural(unscored, "strict message that no device scored", "strict messages that no device scored"))
	}
	detects := e.Has(config.RoleDetect)
	switch {
	case len(what) > 0 && !detects:
		r.fail(check, advice("Run a vigil serve whose VIGIL_ROLES has detect: this one leaves that to another."), "%s waited for longer than %d minutes", strings.Join(what, ", "), waitingMinutes)
	case len(what) > 0:
		r.fail(check, advice("Start vigil serve; if it runs, look into its log for the parts admitter, sharer and scorer."), "%s waited for longer than %d minutes", strings.Join(what, ", "), waitingMinutes)
	case !detects:
		r.ok(check, "nothing; this process admits, shares and judges nothing (VIGIL_ROLES is without detect): another must")
	default:
		r.ok(check, "no device, key or score waits for the sidecar")
	}
}
