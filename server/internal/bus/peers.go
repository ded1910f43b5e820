package bus

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/crypto/chacha20poly1305"

	"vigil/server/internal/logkey"
)

// Peers carries ephemeral frames between the nodes of one cluster: core NATS, at most once, nothing stored. A frame reaches
// the nodes that hear its room at that moment; what one node sent, another hears in that order.
//
// With Config.Key set, frames are sealed (XChaCha20-Poly1305 under a key derived from it, bound to their subject): nobody who
// can only reach the cluster reads what clients send each other, or speaks for a node. A frame that was heard can be sent
// again by who could hear it. Without a key, TLS and the accounts of the cluster are all that protects them.
//
// It has a connection of its own, which Run opens, keeps and closes: a flood of frames delays no append. All methods may be
// called at once.
type Peers struct {
	c       Config
	node    string
	lost    chan struct{} // capacity 1
	heard   chan *nats.Msg
	refused atomic.Int64 // frames that could not be opened

	mu     sync.RWMutex
	nc     *nats.Conn  // nil while Run does not run
	sealed cipher.AEAD // nil: frames are plain
	rooms  map[*nats.Subscription]func(from string, data []byte)
}

// Peers makes a node of those that hear each other, under a name of its own; Run makes it one. It is nil on an embedded bus:
// there is no other node.
func (b *Bus) Peers() *Peers {
	if b.ns != nil {
		return nil
	}
	return &Peers{c: b.c, node: randomText(nodeBytes), lost: make(chan struct{}, 1), heard: make(chan *nats.Msg, heardFrames),
		rooms: map[*nats.Subscription]func(string, []byte){}}
}

const (
	nodeBytes   = 12
	heardFrames = 8192 // that wait to be handled; more are lost, and Lost says so
	sealKeyInfo = "vigil frames between nodes, 1"
)

// Node is this node's name; no other ever had it.
func (p *Peers) Node() string { return p.node }

// Lost gives a value when frames may have been missed: the connection was made anew, or they came faster than they were
// handled.
func (p *Peers) Lost() <-chan struct{} { return p.lost }

// Subscribe hears what other nodes send to a room, one frame at a time, until stop is called. hear must not block: it holds up
// all rooms. ErrUnavailable while Run does not run.
func (p *Peers) Subscribe(room string, hear func(from string, data []byte)) (stop func(), err error) {
	nc, _ := p.connection()
	if nc == nil {
		return nil, fmt.Errorf("hear other nodes: %w: not connected", ErrUnavailable)
	}
	sub, err := nc.ChanSubscribe(p.subject(room), p.heard)
	if err != nil {
		return nil, fmt.Errorf("hear other nodes: %w", classify(err))
	}
	p.mu.Lock()
	p.rooms[sub] = hear
	p.mu.Unlock()
	return func() {
		p.mu.Lock()
		delete(p.rooms, sub)
		p.mu.Unlock()
		_ = sub.Unsubscribe() // fails only when the connection has ended, and the subscription with it
	}, nil
}

// Send hands a frame to the other nodes that hear a room; "" is heard by every node that subscribed to it. It does not wait
// for them. ErrUnavailable: there is no connection, and the frame is lost.
func (p *Peers) Send(room string, data []byte) error {
	nc, sealed := p.connection()
	if nc == nil {
		return fmt.Errorf("send to other nodes: %w: not connected", ErrUnavailable)
	}
	subject := p.subject(room)
	if err := nc.Publish(subject, wrap(sealed, subject, p.node, data)); err != nil {
		return fmt.Errorf("send %d bytes to other nodes: %w", len(data), classify(err))
	}
	return nil
}

// connection is nil while there is none.
func (p *Peers) connection() (*nats.Conn, cipher.AEAD) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.nc, p.sealed
}

// subject is where a room is heard.
func (p *Peers) subject(room string) string {
	if room == "" {
		return p.c.Prefix + ".nodes"
	}
	return p.c.Prefix + ".room." + encodeTopic(room)
}

// wrap adds who sends, and seals.
func wrap(seal cipher.AEAD, subject, node string, data []byte) []byte {
	plain := append(append(append(make([]byte, 0, 1+len(node)+len(data)), byte(len(node))), node...), data...)
	if seal == nil {
		return plain
	}
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	_, _ = rand.Read(nonce) // never errs since Go 1.24
	return seal.Seal(nonce, nonce, plain, []byte(subject))
}

var errFrame = errors.New("frame of another node cannot be opened")

// unwrap undoes wrap.
func unwrap(seal cipher.AEAD, subject string, frame []byte) (node string, data []byte, err error) {
	if seal != nil {
		if len(frame) < chacha20poly1305.NonceSizeX {
			return "", nil, errFrame
		}
		nonce, text := frame[:chacha20poly1305.NonceSizeX], frame[chacha20poly1305.NonceSizeX:]
		if frame, err = seal.Open(nil, nonce, text, []byte(subject)); err != nil {
			return "", nil, errFrame
		}
	}
	if len(frame) == 0 || len(frame) <= int(frame[0]) {
		return "", nil, errFrame
	}
	n := 1 + int(frame[0])
	return string(frame[1:n]), frame[n:], nil
}

// sealer makes what seals frames; nil without a key.
func sealer(key string) (cipher.AEAD, error) {
	if key == "" {
		return nil, nil
	}
	derived, err := hkdf.Key(sha256.New, []byte(key), nil, sealKeyInfo, chacha20poly1305.KeySize)
	if err != nil {
		return nil, fmt.Errorf("derive the key of frames between nodes: %w", err)
	}
	seal, err := chacha20poly1305.NewX(derived)
	if err != nil {
		return nil, fmt.Errorf("use the key of frames between nodes: %w", err)
	}
	return seal, nil
}

// Run connects, and hands on what is heard until ctx ends. It is called once.
func (p *Peers) Run(ctx context.Context) error {
	seal, err := sealer(p.c.Key)
	if err != nil {
		return err
	}
	missed := func(*nats.Conn) { p.miss() }
	nc, err := nats.Connect(p.c.URL, nats.Name("vigil nodes"), nats.NoEcho(), nats.MaxReconnects(-1), nats.ReconnectBufSize(-1),
		nats.ReconnectWait(250*time.Millisecond), nats.RetryOnFailedConnect(true), nats.ConnectHandler(missed), nats.ReconnectHandler(missed),
		nats.ErrorHandler(func(nc *nats.Conn, _ *nats.Subscription, err error) {
			p.c.Log.WarnContext(ctx, "connection between nodes reported an error", logkey.Error, err.Error())
			missed(nc)
		}))
	if err != nil {
		return fmt.Errorf("connect to other nodes: %w: %w", ErrUnavailable, err)
	}
	p.mu.Lock()
	p.nc, p.sealed = nc, seal
	p.mu.Unlock()
	p.miss() // who tried before may try again
	defer func() {
		p.mu.Lock()
		p.nc = nil
		p.mu.Unlock()
		nc.Close() // sends what waits
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-p.heard:
			p.hand(ctx, seal, m)
		}
	}
}

// hand gives a frame to who hears its room.
func (p *Peers) hand(ctx context.Context, seal cipher.AEAD, m *nats.Msg) {
	p.mu.RLock()
	hear := p.rooms[m.Sub]
	p.mu.RUnlock()
	if hear == nil { // it stopped meanwhile
		return
	}
	node, data, err := unwrap(seal, m.Subject, m.Data)
	if err != nil {
		if n := p.refused.Add(1); n&(n-1) == 0 { // each time it has doubled
			p.c.Log.WarnContext(ctx, "frames of other nodes cannot be opened: do all have one key?", logkey.Count, n)
		}
		return
	}
	hear(node, data)
}

func (p *Peers) miss() {
	select {
	case p.lost <- struct{}{}:
	default:
	}
}
