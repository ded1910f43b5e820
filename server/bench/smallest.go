package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

// smallestConfig tells the child where to read and write.
type smallestConfig struct {
	Database    string `json:"database"`
	Replication string `json:"replication"`
	Slot        string `json:"slot"`
}

// crisisPrefix begins the id of a message of a crisis, so that the smallest sidecar, which opens nothing, knows it too.
const crisisPrefix = "cc"

// smallest is the least that takes a committed message to a committed alert and to a socket: one reader of the slot, one
// connection that inserts one row for whatever was read meanwhile, one frame an alert. No bus, nothing opened, nothing
// assessed, nothing remembered: it loses what it holds when it dies.
type smallest struct {
	conn *pgx.Conn
	read chan string // ids, full: the reader waits

	mu      sync.Mutex
	sockets []*websocket.Conn
}

func smallestChild(ctx context.Context, raw json.RawMessage) (handler, error) {
	var c smallestConfig
	if err := json.Unmarshal(raw, &c); err != nil {
		return handler{}, err
	}
	const ahead = 4096
	s := &smallest{read: make(chan string, ahead)}
	var err error
	if s.conn, err = pgx.Connect(ctx, c.Database); err != nil {
		return handler{}, err
	}
	stream, err := follow(ctx, c.Replication, c.Slot, "vigil_messages")
	if err != nil {
		return handler{}, err
	}
	failed := make(chan error, 2)
	go func() { failed <- s.receive(ctx, stream.ReceiveMessage) }() // both end with the process
	go func() { failed <- s.raise(ctx) }()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return handler{}, err
	}
	server := &http.Server{Handler: http.HandlerFunc(s.accept), ReadHeaderTimeout: socketTimeout}
	go func() { _ = server.Serve(l) }() // ends with the process
	return handler{do: func(context.Context, command) (any, error) {
		select {
		case err := <-failed:
			return nil, err
		default:
			return l.Addr().String(), nil
		}
	}}, nil
}

func (s *smallest) accept(w http.ResponseWriter, r *http.Request) {
	var up websocket.Upgrader
	conn, err := up.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.sockets = append(s.sockets, conn)
	s.mu.Unlock()
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
}

// receive reads the id of each message that is inserted: the first column.
func (s *smallest) receive(ctx context.Context, next func(context.Context) (pgproto3.BackendMessage, error)) error {
	for {
		m, err := next(ctx)
		if err != nil {
			return err
		}
		data, ok := m.(*pgproto3.CopyData)
		const tuple = 25 + 8 // of the stream's header and the insert's
		if !ok || len(data.Data) < tuple+5 || data.Data[0] != 'w' || data.Data[25] != 'I' {
			continue
		}
		column := data.Data[tuple:]
		id := string(column[5 : 5+binary.BigEndian.Uint32(column[1:])])
		if strings.HasPrefix(id, crisisPrefix) {
			s.read <- id
		}
	}
}

// raise commits alerts and then sends them.
func (s *smallest) raise(ctx context.Context) error {
	var ids []string
	for {
		ids = append(ids[:0], <-s.read)
	more:
		for {
			select {
			case id := <-s.read:
				ids = append(ids, id)
			default:
				break more
			}
		}
		if _, err := s.conn.Exec(ctx, `insert into public.bench_alerts (message_id) select unnest($1::uuid[])`, ids); err != nil {
			return err
		}
		s.mu.Lock()
		for _, id := range ids {
			for _, conn := range s.sockets {
				if err := conn.WriteMessage(websocket.TextMessage, []byte(`{"event":"alert","payload":{"message_id":"`+id+`"}}`)); err != nil {
					s.mu.Unlock()
					return errors.Join(errors.New("write a frame"), err)
				}
			}
		}
		s.mu.Unlock()
	}
}
