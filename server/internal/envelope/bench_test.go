package envelope

import (
	"testing"

	"github.com/google/uuid"
)

// BenchmarkOpenMessage verifies and opens one message of a known epoch (for orientation: about 81 µs on two cores).
func BenchmarkOpenMessage(b *testing.B) {
	c := setup(b)
	m, err := c.epoch.Seal(c.client, uuid.New(), 0, make([]byte, 140))
	must(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.epoch.Open(m); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkOpenEpoch verifies and unwraps an epoch with its consent (for orientation: about 162 µs without the consent).
func BenchmarkOpenEpoch(b *testing.B) {
	c := setup(b)
	ring := NewRing(RingConfig{}, c.analysis)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ring.Open(c.row, &c.consent); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSeal seals and signs one message.
func BenchmarkSeal(b *testing.B) {
	c := setup(b)
	plaintext := make([]byte, 140)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.epoch.Seal(c.client, uuid.New(), 0, plaintext); err != nil {
			b.Fatal(err)
		}
	}
}
