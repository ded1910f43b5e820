package realtime

import "vigil/realtime/phoenix"

// peers carries frames between the nodes that serve one set of topics: ephemeral, at most once, in no order between nodes.
// What one node sends reaches another in the order it was sent, as far as it does. All methods may be called at once.
type peers interface {
	// Node names this node; no other, and no earlier start of this one, ever had the name.
	Node() string
	// Subscribe hears what other nodes send to a room, until stop is called. heard is never called for what this node sent,
	// for one frame at a time, must not block, and must not keep data.
	Subscribe(room string, heard func(from string, data []byte)) (stop func(), err error)
	// Send hands a frame to the nodes that hear the room. It keeps nothing of data.
	Send(room string, data []byte) error
	// Lost gives a value when something may have been missed: the connection was made anew, or was too slow.
	Lost() <-chan struct{}
}

// broadcast hands a client's broadcast to everyone who may hear it. from is the channel that sent it; nil: it came by REST.
func (s *Server) broadcast(key roomKey, from *channel, b phoenix.Broadcast) {
	var r *room
	if from != nil {
		r = from.room
	} else {
		r = s.hub.find(key)
	}
	if r != nil {
		r.broadcast(from, b)
	}
}
