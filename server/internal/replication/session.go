package replication

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"vigil/server/internal/logkey"
)

// minVersion has column lists, row filters and messages in pgoutput.
const minVersion = 150000

// session is a replication connection before the stream: it checks everything, so that what fails later is weather.
type session struct {
	c        Config
	conn     *pgconn.PgConn
	server   Server
	identity Identity
	flush    pglogrepl.LSN
}

// parameters make the text of values the same whatever the role's and the database's settings are.
var parameters = map[string]string{"replication": "database", "client_encoding": "UTF8", "DateStyle": "ISO", "IntervalStyle": "postgres",
	"TimeZone": "UTC", "bytea_output": "hex", "extra_float_digits": "3"}

func (c Config) connect(ctx context.Context) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, c.ConnectTimeout)
	defer cancel()
	config, err := pgconn.ParseConfig(c.URL)
	if err != nil {
		return nil, &Fault{Kind: ErrDatabase, Advice: "REPLICATION_URL is not a connection address", Cause: hide(err)}
	}
	if err := checkAddress(config.Host, config.Port); err != nil {
		return nil, err
	}
	for name, value := range parameters {
		config.RuntimeParams[name] = value
	}
	if c.ApplicationName != "" {
		config.RuntimeParams["application_name"] = c.ApplicationName
	} else if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = DefaultApplicationName
	}
	conn, err := pgconn.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", classifyConnect(err, config.Host, config.Port))
	}
	s := &session{c: c, conn: conn}
	if err := s.identify(ctx); err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

const closeTimeout = time.Second

func (s *session) close(ctx context.Context) {
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	s.conn.Close(limit) //nolint:errcheck // nothing hangs on it
}

// identify asks who is there, and refuses a server that cannot do it.
func (s *session) identify(ctx context.Context) error {
	system, err := pglogrepl.IdentifySystem(ctx, s.conn)
	if err != nil {
		return fmt.Errorf("identify the system: %w", classifyStream(err, s.c.Slot))
	}
	s.identity, s.flush = Identity{SystemID: system.SystemID, Timeline: system.Timeline}, system.XLogPos
	if s.server, err = readServer(ctx, s.conn); err != nil {
		return err
	}
	switch {
	case s.server.Version < minVersion:
		return &Fault{Kind: ErrVersion, Advice: fmt.Sprintf("it is %d, 150000 is needed: upgrade Postgres", s.server.Version)}
	case s.server.WALLevel != "logical":
		return walLevelFault(s.server.WALLevel)
	case !s.server.MayReplicate:
		return privilegeFault(s.server.User, nil)
	case s.server.IsStandby:
		return &Fault{Kind: ErrStandby, Advice: "REPLICATION_URL must lead to the primary"}
	}
	return nil
}

// checkHistory proves what can be proven about the log belonging to this database.
func (s *session) checkHistory(expected Identity, last Position) error {
	if expected.SystemID != "" && expected.SystemID != s.identity.SystemID {
		return &Fault{Kind: ErrSystemChanged, Advice: fmt.Sprintf("the log was written from system %s, this is %s;"+
			" check REPLICATION_URL, or make a new slot and reconcile", expected.SystemID, s.identity.SystemID)}
	}
	if s.flush < last.Commit {
		return restoredError(fmt.Sprintf("its WAL ends at %s, but the log holds a transaction at %s", s.flush, last.Commit))
	}
	if expected.Timeline != 0 && expected.Timeline != s.identity.Timeline {
		return &Fault{Kind: ErrSystemChanged, Advice: fmt.Sprintf("timeline %d became %d (a restore or a promotion);"+
			" make a new slot and reconcile", expected.Timeline, s.identity.Timeline)}
	}
	return nil
}

func (s *session) checkPublications(ctx context.Context) error {
	have, err := publicationsOf(ctx, s.conn, s.publicationNames())
	if err != nil {
		return err
	}
	if problems := ComparePublications(s.c.Publications, have); len(problems) > 0 {
		return &PublicationFault{Problems: problems}
	}
	return nil
}

func (s *session) publicationNames() []string {
	names := make([]string, len(s.c.Publications))
	for i, p := range s.c.Publications {
		names[i] = p.Name
	}
	return names
}

// slot finds or makes the slot. expected: there was one, so a missing one is a loss.
func (s *session) slot(ctx context.Context, recreate, expected bool) (slot Slot, created bool, err error) {
	asking, cancel := context.WithTimeout(ctx, s.c.ConnectTimeout)
	defer cancel()
	found, err := readSlot(asking, s.conn, s.c.Slot)
	if err != nil {
		return Slot{}, false, err
	}
	if found != nil {
		if err := s.ours(*found); err != nil {
			return *found, false, err
		}
		if err := s.released(asking, *found); err != nil {
			return *found, false, err
		}
		if !recreate {
			if found.IsLost() {
				return *found, false, slotLost(s.c.Slot, nil)
			}
			return *found, false, nil
		}
		if err := pglogrepl.DropReplicationSlot(asking, s.conn, s.c.Slot, pglogrepl.DropReplicationSlotOptions{}); err != nil {
			return *found, false, fmt.Errorf("drop slot %s: %w", s.c.Slot, classifyStream(err, s.c.Slot))
		}
		s.server.UsedSlots--
	} else if expected && !recreate {
		return Slot{}, false, slotGone(s.c.Slot, nil)
	}
	return s.create(ctx)
}

func (s *session) ours(slot Slot) error {
	if slot.Plugin == "pgoutput" && slot.Database == s.server.Database && !slot.Temporary {
		return nil
	}
	return &Fault{Kind: ErrSlotForeign, Advice: fmt.Sprintf("%q is for %s in database %s (temporary: %t), not for pgoutput in %s;"+
		" drop it or set another VIGIL_SLOT", slot.Name, orNone(slot.Plugin), orNone(slot.Database), slot.Temporary, s.server.Database)}
}

// released says whether nobody holds the slot. With Takeover a holder of our own role is sent away; it is free a moment
// later, so the answer is still no.
func (s *session) released(ctx context.Context, slot Slot) error {
	if slot.Holder.PID == 0 {
		return nil
	}
	err := &SlotInUse{Slot: slot.Name, Holder: slot.Holder}
	if !s.c.Takeover || slot.Holder.User != s.server.User {
		return err
	}
	// The pid may have been given to another process since: the walsender must still be the one that holds our slot.
	sql := fmt.Sprintf(`select pg_terminate_backend(s.active_pid) from pg_catalog.pg_replication_slots s
join pg_catalog.pg_stat_activity a on a.pid = s.active_pid
where s.slot_name = %s and s.active_pid = %d and a.usename = current_user`, quoteLiteral(slot.Name), slot.Holder.PID)
	if _, failed := query(ctx, s.conn, sql); failed != nil {
		return errors.Join(err, fmt.Errorf("terminate walsender %d: %w", slot.Holder.PID, failed))
	}
	s.c.Log.WarnContext(ctx, "walsender of our own role terminated", logkey.Slot, slot.Name, logkey.Count, slot.Holder.PID)
	return err
}

// create makes the slot. It waits for every transaction that is open now, however long that takes.
func (s *session) create(ctx context.Context) (Slot, bool, error) {
	if s.server.UsedSlots >= s.server.MaxSlots {
		return Slot{}, false, &Fault{Kind: ErrSlotsFull, Advice: fmt.Sprintf("%d of %d; drop one that nobody needs"+
			" (select * from pg_replication_slots) or raise max_replication_slots", s.server.UsedSlots, s.server.MaxSlots)}
	}
	s.c.Log.InfoContext(ctx, "slot is being made; open transactions are waited for", logkey.Slot, s.c.Slot)
	made, err := pglogrepl.CreateReplicationSlot(ctx, s.conn, s.c.Slot, "pgoutput",
		pglogrepl.CreateReplicationSlotOptions{Mode: pglogrepl.LogicalReplication, SnapshotAction: "NOEXPORT_SNAPSHOT"})
	if err != nil {
		return Slot{}, false, fmt.Errorf("make slot %s: %w", s.c.Slot, classifyStream(err, s.c.Slot))
	}
	point := toLSN(made.ConsistentPoint)
	return Slot{Name: s.c.Slot, Plugin: "pgoutput", Database: s.server.Database, Confirmed: point, SafeWALSize: -1}, true, nil
}

// start turns the connection into a stream. The session cannot be used after it.
func (s *session) start(ctx context.Context, from pglogrepl.LSN) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.c.ConnectTimeout)
	defer cancel()
	if err := s.conn.SyncConn(ctx); err != nil {
		return nil, fmt.Errorf("start the stream: %w", err)
	}
	hijacked, err := s.conn.Hijack()
	if err != nil {
		return nil, fmt.Errorf("start the stream: %w", err)
	}
	conn := hijacked.Conn
	if err := s.begin(ctx, conn, from); err != nil {
		conn.Close() //nolint:errcheck // err says more
		return nil, fmt.Errorf("start the stream of slot %s: %w", s.c.Slot, err)
	}
	return conn, nil
}

func (s *session) begin(ctx context.Context, conn net.Conn, from pglogrepl.LSN) error {
	stop := context.AfterFunc(ctx, func() {
		conn.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // wakes the read below; if that fails, the timeout does
	})
	defer stop()
	names := s.publicationNames()
	for i, n := range names {
		names[i] = `"` + strings.ReplaceAll(n, `"`, `""`) + `"`
	}
	sql := fmt.Sprintf(`START_REPLICATION SLOT "%s" LOGICAL %s (proto_version '1', publication_names %s, messages 'true')`,
		s.c.Slot, from, quoteLiteral(strings.Join(names, ",")))
	frame, err := (&pgproto3.Query{String: sql}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := conn.Write(frame); err != nil {
		return err
	}
	for {
		kind, body, err := readFrame(conn)
		if err != nil {
			return errors.Join(ctx.Err(), err)
		}
		switch kind {
		case 'W': // copy both
			if !stop() {
				return ctx.Err()
			}
			return conn.SetDeadline(time.Time{})
		case 'N', 'S':
		case 'E':
			return s.refused(serverError(body))
		default:
			return protocolError(fmt.Sprintf("an answer %q to START_REPLICATION", kind))
		}
	}
}

// refused names the holder when the slot was taken between our look at it and now.
func (s *session) refused(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == stateObjectInUse {
		return errors.Join(&SlotInUse{Slot: s.c.Slot}, err)
	}
	return classifyStream(err, s.c.Slot)
}
