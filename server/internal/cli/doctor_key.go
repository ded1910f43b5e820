package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"vigil/server/internal/config"
	"vigil/server/internal/envelope"
)

// devices are the analysis devices that the project knows, by id; nil when it could not be asked.
type devices map[uuid.UUID]deviceRow

type deviceRow struct {
	encPub, sigPub           string
	revoked, retired, needed bool
}

// live are those that something needs, or new epochs may have, without those in keys.
func (d devices) live(keys []*envelope.Device) []string {
	var ids []string
	for id, row := range d {
		if !row.revoked && row.needed && !holds(keys, id) {
			ids = append(ids, id.String())
		}
	}
	return ids
}

func holds(keys []*envelope.Device, id uuid.UUID) bool {
	for _, k := range keys {
		if k.KID() == id {
			return true
		}
	}
	return false
}

// registeredKeys reads the analysis devices. keep is how long after a session's end its key is needed.
func registeredKeys(ctx context.Context, p *patient, keep time.Duration) devices {
	const query = `
		select id, enc_pub, sig_pub, revoked_at is not null, retired_at is not null, needed
		from private.analysis_keys($1 * interval '1 microsecond')`
	found, err := p.conn.Query(ctx, query, keep.Microseconds())
	if err != nil {
		return nil
	}
	rows := make(devices)
	var id uuid.UUID
	var d deviceRow
	if _, err = pgx.ForEachRow(found, []any{&id, &d.encPub, &d.sigPub, &d.revoked, &d.retired, &d.needed}, func() error { rows[id] = d; return nil }); err != nil {
		return nil
	}
	return rows
}

const revoke = "update public.devices set revoked_at = now() where id in ('%s');"

// examineKey looks at the analysis keys: in the file or the environment, and as the project knows them.
func (e *examination) examineKey(ctx context.Context, r *report, known devices) {
	const check = "key"
	if !e.Has(config.RoleDetect) && !e.Has(config.RoleSuggest) {
		r.skip(check, "not looked for: VIGIL_ROLES says that this process opens nothing")
		return
	}
	keys, err := e.readKeys(ctx)
	others := known.live(keys)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.reportNoKey(r, known, others)
		return
	case errors.Is(err, envelope.ErrKeyFileMode):
		r.fail(check, mend{Fix: "Let only the user that runs vigil read it, and ask who has read it so far.", Shell: "chmod 600 " + quote(e.AnalysisKeyFile)}, "the key file may be read by others")
		return
	case errors.Is(err, envelope.ErrFormat):
		r.fail(check, advice("Restore the key from your backup."), "the key cannot be read: it is no key of vigil's")
		return
	case err != nil:
		r.fail(check, advice("Let the user that runs vigil read the file that VIGIL_ANALYSIS_KEY_FILE names."), "the key file cannot be read: %s", cause(err))
		return
	case known == nil:
		r.skip(check, "it can be read; whether the project knows it was not asked")
		return
	}
	reportKeys(r, keys, known, others)
}

func (e *examination) readKeys(ctx context.Context) ([]*envelope.Device, error) {
	if !e.AnalysisKey.IsZero() {
		return envelope.ParseKeys([]byte(e.AnalysisKey.Reveal()))
	}
	return envelope.FileSource{Path: e.AnalysisKeyFile}.Keys(ctx)
}

func (e *examination) reportNoKey(r *report, known devices, others []string) {
	const check = "key"
	switch {
	case known == nil:
		r.skip(check, "there is no key file; whether there should be one was not asked")
	case len(others) == 0 && !e.NATSURL.IsZero():
		r.fail(check, mend{Fix: "Make one, once, and give it to every process that detects or suggests.", Shell: "vigil keys new " + quote(e.AnalysisKeyFile)}, "there is none yet, and processes that share the work must have the same")
	case len(others) == 0:
		r.ok(check, "there is none yet; vigil serve makes it at its first start")
	default:
		r.fail(check, mend{
			Fix: "Restore it from your backup. Only if it is lost, run this as postgres and start vigil serve, which makes another: sessions then need a new epoch, and messages that were not read yet stay unread.",
			SQL: fmt.Sprintf(revoke, strings.Join(others, "', '")),
		}, "the key file is missing, but the project knows %s", count(len(others), "analysis device"))
	}
}

func reportKeys(r *report, keys []*envelope.Device, known devices, others []string) {
	const check = "key"
	mine, retired, destroyed := 0, 0, 0
	for _, k := range keys {
		row, ok := known[k.KID()]
		switch {
		case ok && (row.encPub != envelope.EncodeText(k.EncPub()) || row.sigPub != envelope.EncodeText(k.SigPub())):
			r.fail(check, advice("Restore the key file that belongs to this project."), "the project knows device %s by other keys", k.KID())
			return
		case ok && row.revoked && row.retired:
			destroyed++
		case ok && row.revoked:
			r.fail(check, advice("Take this key out of the file; with no file at all, vigil serve makes another."), "device %s is revoked", k.KID())
			return
		case ok:
			mine++
			if row.retired {
				retired++
			}
		}
	}
	switch {
	case destroyed > 0 && destroyed < len(keys):
		r.warn(check, advice("Start vigil serve, or give it the right to write to the file and its folder: it takes them out. Then destroy the backups of the file that hold them, too."),
			"%s that has ended is still in the key file", count(destroyed, "key"))
	case mine == 0 && len(others) > 0:
		r.fail(check, advice("Restore the key file that belongs to this project. vigil serve would register this one beside it, and could read nothing of what runs now."),
			"the project knows %s, and none is in the key file: it is of another project", count(len(others), "analysis device"))
	case mine < len(keys):
		r.warn(check, advice("Start vigil serve: it registers its keys."), "%s not registered yet", count(len(keys)-mine, "key"))
	case len(others) > 0:
		r.warn(check, mend{Fix: "If another sidecar has it, all is well. If nobody has its key any more, as postgres:", SQL: fmt.Sprintf(revoke, strings.Join(others, "', '"))},
			"the project knows %s that the key file does not hold", count(len(others), "analysis device"))
	case retired > 0:
		r.ok(check, "%s, registered and not revoked; %d retired, until nothing needs it", count(len(keys), "key"), retired)
	default:
		r.ok(check, "%s, registered and not revoked", count(len(keys), "key"))
	}
}

// quote makes one word of s for a shell.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// cause is a file error without its path.
func cause(err error) string {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err.Error()
	}
	return filepath.Base(err.Error())
}
