package replication

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
)

// Server is what a server says of itself and of the role that asks.
type Server struct {
	Version            int    // 150020
	WALLevel           string // "logical" is needed
	IsStandby          bool
	Database           string
	User               string
	IsSuperuser        bool
	MayReplicate       bool // the role attribute, or superuser
	MaxSlots           int
	UsedSlots          int
	MaxSenders         int
	UsedSenders        int
	MaxSlotWALKeepSize int64         // bytes; -1 = no limit
	WALFlush           pglogrepl.LSN // replayed, on a standby
}

// Slot is what pg_replication_slots says of a slot.
type Slot struct {
	Name         string
	Plugin       string // "pgoutput" is needed
	Database     string
	Temporary    bool
	Holder       Holder        // PID 0 = nobody
	Restart      pglogrepl.LSN // WAL from here on is kept for it
	Confirmed    pglogrepl.LSN
	WALStatus    string // reserved, extended, unreserved, lost
	SafeWALSize  int64  // bytes until it is in danger of being lost; -1 = no limit or unknown
	RetainedWAL  int64  // bytes kept for it
	Invalidation string // why it was invalidated, where the server says so (17)
}

// IsLost says that the slot cannot be used any more.
func (s Slot) IsLost() bool { return s.WALStatus == "lost" || s.Invalidation != "" }

// Report is what doctor and readiness look at.
type Report struct {
	Server       Server
	Identity     Identity // empty where the role may not know
	Encrypted    bool     // the connection uses TLS
	Slot         *Slot    // nil: there is none of the name
	Publications []Publication
}

// Inspect looks at the server as the role of dsn, over an ordinary connection: any role will do, though some see less.
// It changes nothing. Errors are *Fault where the cause is known (ErrAuthentication, ErrDatabase, ErrTLS, …).
func Inspect(ctx context.Context, dsn, slot string, publications []string) (Report, error) {
	config, err := pgconn.ParseConfig(dsn)
	if err != nil {
		return Report{}, fmt.Errorf("read the connection address: %w", hide(err))
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return Report{}, fmt.Errorf("connect: %w", classifyConnect(err, config.Host, config.Port))
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing hangs on it
	var r Report
	_, r.Encrypted = conn.Conn().(interface{ HandshakeContext(context.Context) error })
	if r.Server, err = readServer(ctx, conn); err != nil {
		return r, err
	}
	if r.Slot, err = readSlot(ctx, conn, slot); err != nil {
		return r, err
	}
	if len(publications) > 0 {
		if r.Publications, err = publicationsOf(ctx, conn, publications); err != nil {
			return r, err
		}
	}
	rows, err := query(ctx, conn, `select s.system_identifier, c.timeline_id from pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c`)
	if err == nil && len(rows) == 1 { // some providers do not let everybody know
		r.Identity = Identity{SystemID: rows[0][0], Timeline: int32(toInt(rows[0][1]))} //nolint:gosec // a timeline
	}
	return r, nil
}

func publicationsOf(ctx context.Context, conn *pgconn.PgConn, names []string) ([]Publication, error) {
	rows, err := query(ctx, conn, publicationsSQL(names))
	if err != nil {
		return nil, fmt.Errorf("read publications: %w", err)
	}
	return readPublications(rows)
}

const serverSQL = `select current_setting('server_version_num'), current_setting('wal_level'), pg_is_in_recovery(),
  current_database(), current_user, r.rolsuper, r.rolreplication or r.rolsuper,
  current_setting('max_replication_slots'), (select count(*) from pg_catalog.pg_replication_slots),
  current_setting('max_wal_senders'), (select count(*) from pg_catalog.pg_stat_replication),
  (select case when s.setting = '-1' then -1 else pg_size_bytes(current_setting(s.name)) end
    from pg_catalog.pg_settings s where s.name = 'max_slot_wal_keep_size'),
  case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_flush_lsn() end
from pg_catalog.pg_roles r where r.rolname = current_user`

func readServer(ctx context.Context, conn *pgconn.PgConn) (Server, error) {
	rows, err := query(ctx, conn, serverSQL)
	if err != nil {
		return Server{}, fmt.Errorf("read server settings: %w", err)
	}
	if len(rows) != 1 {
		return Server{}, fmt.Errorf("read server settings: %d rows", len(rows))
	}
	row := rows[0]
	return Server{Version: int(toInt(row[0])), WALLevel: row[1], IsStandby: row[2] == "t", Database: row[3], User: row[4],
		IsSuperuser: row[5] == "t", MayReplicate: row[6] == "t", MaxSlots: int(toInt(row[7])), UsedSlots: int(toInt(row[8])),
		MaxSenders: int(toInt(row[9])), UsedSenders: int(toInt(row[10])), MaxSlotWALKeepSize: toInt(row[11]), WALFlush: toLSN(row[12])}, nil
}

// slotSQL takes what only newer versions have from the row's JSON.
const slotSQL = `select s.slot_name, s.plugin, s.database, s.temporary, s.active_pid, a.usename, a.application_name, host(a.client_addr),
  s.restart_lsn, s.confirmed_flush_lsn, s.wal_status, coalesce(s.safe_wal_size, -1),
  case when s.restart_lsn is null or pg_is_in_recovery() then 0 else pg_wal_lsn_diff(pg_current_wal_lsn(), s.restart_lsn) end,
  to_jsonb(s) ->> 'invalidation_reason'
from pg_catalog.pg_replication_slots s left join pg_catalog.pg_stat_activity a on a.pid = s.active_pid
where s.slot_name = `

func readSlot(ctx context.Context, conn *pgconn.PgConn, name string) (*Slot, error) {
	rows, err := query(ctx, conn, slotSQL+quoteLiteral(name))
	if err != nil {
		return nil, fmt.Errorf("read slot %s: %w", name, err)
	}
	if len(rows) == 0 {
		return nil, nil //nolint:nilnil // no slot is an answer
	}
	row := rows[0]
	return &Slot{Name: row[0], Plugin: row[1], Database: row[2], Temporary: row[3] == "t",
		Holder:  Holder{PID: int(toInt(row[4])), User: row[5], Application: row[6], Client: row[7]},
		Restart: toLSN(row[8]), Confirmed: toLSN(row[9]), WALStatus: row[10], SafeWALSize: toInt(row[11]), RetainedWAL: toInt(row[12]),
		Invalidation: row[13]}, nil
}

// query runs one statement by the simple protocol, which a walsender understands too. A null is "".
func query(ctx context.Context, conn *pgconn.PgConn, sql string) ([][]string, error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	var rows [][]string
	for _, result := range results {
		for _, values := range result.Rows {
			row := make([]string, len(values))
			for i, v := range values {
				row[i] = string(v)
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// toInt and toLSN read what the server wrote; what it left out is 0.
func toInt(s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

func toLSN(s string) pglogrepl.LSN {
	lsn, err := pglogrepl.ParseLSN(s)
	if err != nil {
		return 0
	}
	return lsn
}
