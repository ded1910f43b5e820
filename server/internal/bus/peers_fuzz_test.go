package bus

import (
	"bytes"
	"testing"
)

// FuzzFrameOfANode: what comes from the network is refused, or it is what a node sent.
func FuzzFrameOfANode(f *testing.F) {
	sealed, err := sealer("a key that the nodes share, of 32 bytes or more")
	if err != nil {
		f.Fatal(err)
	}
	const subject = "vigil.room.p.x"
	for _, frame := range [][]byte{
		wrap(nil, subject, "node", []byte("data")), wrap(nil, subject, "", nil), wrap(sealed, subject, "node", []byte("data")),
		wrap(sealed, "vigil.room.p.y", "node", []byte("data")), {255, 1}, {0}, nil, make([]byte, 24), make([]byte, 41),
	} {
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		if node, data, err := unwrap(nil, subject, bytes.Clone(frame)); err == nil && !bytes.Equal(wrap(nil, subject, node, data), frame) {
			t.Fatalf("%x became %q and %x", frame, node, data)
		}
		node, data, err := unwrap(sealed, subject, bytes.Clone(frame))
		if err == nil && (node != "node" || string(data) != "data") {
			t.Fatalf("%x, which nobody sealed, became %q and %x", frame, node, data)
		}
	})
}
