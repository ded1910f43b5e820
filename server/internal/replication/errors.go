package replication

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// What can be wrong, as sentinels for errors.Is. Those that Run returns are wrapped in a *Fault that says what to do.
var (
	ErrAuthentication = errors.New("the database refused the login")
	ErrDatabase       = errors.New("the database does not exist")
	ErrPooler         = errors.New("the replication address is a pooler")
	ErrPrivilege      = errors.New("the role may not replicate")
	ErrProtocol       = errors.New("the server sent what this version does not know")
	ErrPublication    = errors.New("the publications are not what the sidecar needs") // details: *PublicationFault
	ErrRestored       = errors.New("the database went back in time")
	ErrSilent         = errors.New("the server fell silent")
	ErrSlotForeign    = errors.New("the slot belongs to something else")
	ErrSlotGone       = errors.New("the slot is gone, and continuity with it")
	ErrSlotInUse      = errors.New("the slot is in use") // details: *SlotInUse
	ErrSlotLost       = errors.New("the slot was invalidated, and continuity with it")
	ErrSlotsFull      = errors.New("all replication slots are taken")
	ErrStandby        = errors.New("the server is a standby")
	ErrStaleLSN       = errors.New("a confirmed LSN never goes back")
	ErrSystemChanged  = errors.New("this is another database cluster or history")
	ErrTLS            = errors.New("the connection could not be encrypted as demanded")
	ErrVersion        = errors.New("the server's version is too old")
	ErrWALLevel       = errors.New("wal_level is not logical")
)

// Fault is a condition that does not heal by itself. errors.Is finds Kind, one of this package's sentinels, and what
// caused it.
type Fault struct {
	Kind   error
	Advice string // a sentence: what was seen and what to do
	Cause  error  // may be nil
}

// Error gives kind, advice and cause.
func (f *Fault) Error() string {
	s := f.Kind.Error()
	if f.Advice != "" {
		s += ": " + f.Advice
	}
	if f.Cause != nil {
		s += ": " + f.Cause.Error()
	}
	return s
}

// Unwrap gives Kind and Cause.
func (f *Fault) Unwrap() []error {
	if f.Cause == nil {
		return []error{f.Kind}
	}
	return []error{f.Kind, f.Cause}
}

// Holder is who holds a slot. Fields that the role may not see are empty.
type Holder struct {
	PID         int
	User        string
	Application string
	Client      string // address; empty for a local socket
}

// SlotInUse is ErrSlotInUse with its holder. It is temporary, unless Config.SlotWait ends.
type SlotInUse struct {
	Slot   string
	Holder Holder
}

// Error names the holder.
func (e *SlotInUse) Error() string {
	h := e.Holder
	return fmt.Sprintf("%v: %q is held by pid %d (user %s, application %s, client %s): stop that process, or give this one another VIGIL_SLOT",
		ErrSlotInUse, e.Slot, h.PID, orNone(h.User), orNone(h.Application), orNone(h.Client))
}

// Is makes errors.Is(err, ErrSlotInUse) true.
func (e *SlotInUse) Is(target error) bool { return target == ErrSlotInUse }

func orNone(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func protocolError(what string) error {
	return &Fault{Kind: ErrProtocol, Advice: what + "; a newer sidecar may know it"}
}

func restoredError(what string) error {
	return &Fault{Kind: ErrRestored, Advice: what + "; make a new slot and reconcile"}
}

// isPermanent says that trying again cannot help. What is not known is tried again.
func isPermanent(err error) bool {
	var self interface{ Permanent() bool }
	if errors.As(err, &self) { // what the log says of itself
		return self.Permanent()
	}
	var publication *PublicationFault
	var fault *Fault
	switch {
	case errors.As(err, &publication):
		return true
	case errors.As(err, &fault):
		return !errors.Is(fault.Kind, ErrStandby) && !errors.Is(fault.Kind, ErrSilent)
	}
	return errors.Is(err, ErrMalformed)
}

// SQLSTATEs that are told apart (postgresql.org/docs/17/errcodes-appendix.html).
const (
	stateConfigurationLimit    = "53400"
	stateInsufficientPrivilege = "42501"
	stateInvalidAuthorization  = "28000"
	stateInvalidCatalog        = "3D000"
	stateInvalidPassword       = "28P01"
	stateNotInPrerequisite     = "55000"
	stateObjectInUse           = "55006"
	stateProtocolViolation     = "08P01"
	stateSyntax                = "42601"
	stateUndefinedFile         = "58P01"
	stateUndefinedObject       = "42704"
	stateUnsupported           = "0A000"
)

// classifyConnect gives an error of connecting its kind, if it has one that does not heal.
func classifyConnect(err error, host string, port uint16) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case saysPooler(pg):
			return poolerFault(err)
		case pg.Code == stateInvalidPassword || pg.Code == stateInvalidAuthorization:
			return &Fault{Kind: ErrAuthentication, Advice: "check user and password in REPLICATION_URL, and pg_hba.conf", Cause: err}
		case pg.Code == stateInvalidCatalog:
			return &Fault{Kind: ErrDatabase, Advice: "check the database name in REPLICATION_URL", Cause: err}
		case pg.Code == stateInsufficientPrivilege:
			return privilegeFault("", err)
		}
		return err
	}
	if isTLS(err) {
		return &Fault{Kind: ErrTLS, Advice: fmt.Sprintf("the certificate of %s:%d must fit sslmode and sslrootcert in REPLICATION_URL"+
			" (Supabase: verify-full with the project's CA certificate)", host, port), Cause: err}
	}
	return err
}

// saysPooler knows poolers by what they say, for they have no code of their own: PgBouncer refuses the replication
// parameter, Supavisor takes the user name for a tenant.
func saysPooler(pg *pgconn.PgError) bool {
	text := strings.ToLower(pg.Message)
	return pg.Code == stateProtocolViolation && strings.Contains(text, "unsupported startup parameter") ||
		strings.Contains(text, "tenant or user not found") || strings.Contains(text, "supavisor") || strings.Contains(text, "pgbouncer")
}

func poolerFault(cause error) error {
	return &Fault{Kind: ErrPooler, Cause: cause, Advice: "replication needs the direct connection: on Supabase" +
		" db.<project>.supabase.co:5432 (IPv6, or the IPv4 add-on), never pooler.supabase.com or port 6543"}
}

func privilegeFault(user string, cause error) error {
	if user == "" {
		user = "<role of REPLICATION_URL>"
	}
	return &Fault{Kind: ErrPrivilege, Cause: cause, Advice: fmt.Sprintf("run: alter role %s with replication; grant connect on the database to it"+
		" (hosted Supabase: postgres on 15, a role with replication on 17)", quoteIdent(user))}
}

func isTLS(err error) bool {
	var (
		verify    *tls.CertificateVerificationError
		authority x509.UnknownAuthorityError
		hostname  x509.HostnameError
		invalid   x509.CertificateInvalidError
		record    tls.RecordHeaderError
		alert     tls.AlertError
	)
	return errors.As(err, &verify) || errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid) ||
		errors.As(err, &record) || errors.As(err, &alert) || strings.Contains(err.Error(), "server refused TLS connection") // pgconn has no type for it
}

// checkAddress refuses the known poolers before anything is sent to them.
func checkAddress(host string, port uint16) error {
	if strings.HasSuffix(host, "pooler.supabase.com") || port == 6543 && !isLocal(host) {
		return poolerFault(nil)
	}
	return nil
}

func isLocal(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasPrefix(host, "/") || ip != nil && ip.IsLoopback()
}

// classifyStream gives an error of slot commands and of the stream its kind.
func classifyStream(err error, slot string) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	text := pg.Message
	switch pg.Code {
	case stateSyntax: // whoever does not know a replication command is no walsender
		return poolerFault(err)
	case stateInsufficientPrivilege:
		return privilegeFault("", err)
	case stateConfigurationLimit:
		return &Fault{Kind: ErrSlotsFull, Advice: "drop a slot that nobody needs (select * from pg_replication_slots) or raise max_replication_slots", Cause: err}
	case stateUndefinedFile:
		return slotLost(slot, err)
	case stateUndefinedObject:
		if strings.Contains(text, "publication") {
			return &Fault{Kind: ErrPublication, Advice: "it was made after the change that the slot stands at, or is gone: apply the migrations," +
				" and if that does not help, make a new slot and reconcile", Cause: err}
		}
		return slotGone(slot, err)
	case stateNotInPrerequisite:
		if strings.Contains(text, "wal_level") {
			return walLevelFault("")
		}
		return slotLost(slot, err)
	}
	return err
}

func slotLost(slot string, cause error) error {
	return &Fault{Kind: ErrSlotLost, Cause: cause, Advice: fmt.Sprintf("more WAL was kept for %q than max_slot_wal_keep_size allows, and Postgres removed it;"+
		" make a new slot and reconcile", slot)}
}

func slotGone(slot string, cause error) error {
	return &Fault{Kind: ErrSlotGone, Cause: cause, Advice: fmt.Sprintf("%q was there before and is not any more"+
		" (dropped, restored, failed over or upgraded); make a new slot and reconcile", slot)}
}

func walLevelFault(level string) error {
	return &Fault{Kind: ErrWALLevel, Advice: fmt.Sprintf("it is %s; run: alter system set wal_level = 'logical'; and restart Postgres", orNone(level))}
}

// hide takes the address out of an error of url.Parse, which would print the password.
func hide(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// isEnd says that err is only the caller's cancel.
func isEnd(ctx context.Context, err error) bool {
	return ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.Cause(ctx)) || errors.Is(err, net.ErrClosed))
}
