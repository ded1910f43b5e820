package memory

import (
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// Network carries frames between nodes in memory, and loses, delays and parts them as a test says. Make one with
// NewNetwork; all methods may be called at once.
type Network struct {
	mu     sync.Mutex
	random *rand.Rand
	nodes  []*Peers
	loss   float64
	delay  time.Duration
	parted map[[2]string]bool
	frames int
}

// NewNetwork makes a network that delivers everything at once. What it loses and how long it delays follow from seed.
func NewNetwork(seed uint64) *Network {
	return &Network{random: rand.New(rand.NewPCG(seed, seed)), //nolint:gosec // a test repeats it
		parted: map[[2]string]bool{}}
}

// Lose has the network lose that share of frames from now on.
func (n *Network) Lose(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = share
}

// Delay has a frame take up to most. Those of one node to another stay in order.
func (n *Network) Delay(most time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.delay = most
}

// Part has two nodes no longer hear each other, or again.
func (n *Network) Part(a, b string, parted bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.parted[[2]string{a, b}], n.parted[[2]string{b, a}] = parted, parted
}

// Frames counts what was sent.
func (n *Network) Frames() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.frames
}

// Join adds a node, whose name must be new. Close ends it.
func (n *Network) Join(name string) *Peers {
	p := &Peers{network: n, name: name, rooms: map[string]map[int]func(string, []byte){}, lanes: map[string]chan frame{},
		lost: make(chan struct{}, 1), closed: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.nodes = append(n.nodes, p)
	return p
}

// Peers is one node's end of a Network.
type Peers struct {
	network *Network
	name    string
	lost    chan struct{}
	closed  chan struct{}
	ends    sync.WaitGroup

	handling sync.Mutex // held while a handler runs: one frame at a time

	mu    sync.Mutex
	dead  bool
	next  int
	rooms map[string]map[int]func(from string, data []byte)
	lanes map[string]chan frame // frames on their way here, by sender
}

type frame struct {
	room string
	data []byte
	due  time.Time // it arrives then, and after those before it
}

// laneFrames may be on their way from one node to another; more are lost.
const laneFrames = 1 << 14

// Node is the name given to Join.
func (p *Peers) Node() string { return p.name }

// Lost gives what Lose puts there.
func (p *Peers) Lost() <-chan struct{} { return p.lost }

// Miss says that something may have been lost.
func (p *Peers) Miss() {
	select {
	case p.lost <- struct{}{}:
	default:
	}
}

// Subscribe hears a room.
func (p *Peers) Subscribe(room string, heard func(from string, data []byte)) (stop func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rooms[room] == nil {
		p.rooms[room] = map[int]func(string, []byte){}
	}
	p.next++
	id := p.next
	p.rooms[room][id] = heard
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if delete(p.rooms[room], id); len(p.rooms[room]) == 0 {
			delete(p.rooms, room)
		}
	}, nil
}

// Send gives a frame to the nodes that hear the room when it arrives.
func (p *Peers) Send(room string, data []byte) error {
	p.mu.Lock()
	dead := p.dead
	p.mu.Unlock()
	if dead {
		return nil // nobody tells a process that it is dead
	}
	n := p.network
	n.mu.Lock()
	defer n.mu.Unlock()
	n.frames++
	for _, to := range n.nodes {
		if to == p || n.parted[[2]string{p.name, to.name}] || n.random.Float64() < n.loss {
			continue
		}
		f := frame{room: room, data: append([]byte(nil), data...)}
		if n.delay > 0 {
			f.due = time.Now().Add(time.Duration(n.random.Int64N(int64(n.delay))))
		}
		to.accept(p.name, f)
	}
	return nil
}

func (p *Peers) accept(from string, f frame) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return
	}
	lane := p.lanes[from]
	if lane == nil {
		lane = make(chan frame, laneFrames)
		p.lanes[from] = lane
		p.ends.Go(func() { p.deliver(from, lane) }) // Close waits for it
	}
	select {
	case lane <- f:
	default:
		p.Miss()
	}
}

func (p *Peers) deliver(from string, lane chan frame) {
	for {
		var f frame
		select {
		case <-p.closed:
			return
		case f = <-lane:
		}
		if left := time.Until(f.due); left > 0 {
			select {
			case <-p.closed:
				return
			case <-time.After(left):
			}
		}
		p.hand(from, f)
	}
}

func (p *Peers) hand(from string, f frame) {
	p.mu.Lock()
	var hears []func(string, []byte)
	for _, heard := range p.rooms[f.room] {
		hears = append(hears, heard)
	}
	p.mu.Unlock()
	p.handling.Lock()
	defer p.handling.Unlock()
	for _, heard := range hears {
		heard(from, f.data)
	}
}

// Kill has the node neither hear nor be heard any more, as when its process was killed. Close it all the same.
func (p *Peers) Kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
}

// Close takes the node out, and waits until it handles nothing more.
func (p *Peers) Close() {
	p.network.mu.Lock()
	p.network.nodes = slices.DeleteFunc(p.network.nodes, func(other *Peers) bool { return other == p })
	p.network.mu.Unlock()
	p.Kill()
	close(p.closed)
	p.ends.Wait()
}
