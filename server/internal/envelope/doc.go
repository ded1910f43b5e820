// Package envelope seals and opens pe1, the sealed message of the chat.
//
// An epoch is one generation of a session's key: 32 random bytes, wrapped by HPKE for each device of its roster, bound by a
// commitment, and signed by the device that made it. A message is AES-256-GCM under a key derived from the epoch's key for
// its sender, signed by the sender's device.
//
//	row of session_epochs + epoch_wraps ──▶ OpenEpoch ──▶ Epoch ──▶ Epoch.Open(message) ──▶ plaintext
//	     suite → format → roster hash → maker → signature → pins → consent → wrap → commitment
//
// The arrow above is also the order of the checks; the browser's end (realtime/client) has the same one, so that a forgery is
// refused for the same reason at both ends (testdata/forgeries.json is read by both).
//
// Guarantees: nothing is opened before every signature over it was verified; an epoch that gives the analysis key to a
// sidecar is refused without a consent that a client's device on its roster signed and that nobody withdrew; suite 1 (the
// first test vector, which knew no consent) is refused by every exported function; errors carry no plaintext, ciphertext or
// key; it all works under GODEBUG=fips140=only, with Go's standard library alone.
//
// Not guaranteed: ECDSA signatures are malleable (r, n−s verifies as well), so a signature is never an identity; Go may have
// copied plaintext before Wipe sees it; a device key that is false at its first use is pinned as it is (see Pins).
package envelope
