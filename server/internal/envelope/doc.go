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
// # What a body holds
//
// {"t":"text","body":"…","ts":unix seconds}, and what clients alone read: files, seen. Nobody may be shown a text that the sidecar
// reads otherwise, so ParseContent and the browser's parseContent take the same, and refuse the same as format
// (testdata/content.json): one object in JSON and strict UTF-8, no byte order mark, nothing after it; every key of the outermost
// object written [a-z][a-z0-9_]* without an escape, none twice; t, body and ts under exactly these keys; t not empty; no half
// of a surrogate pair in t or body; ts a whole number within 8.64e12; no more than eight objects and lists in one another. Keys
// that are not known are left alone. A message that is refused is recorded as not assessed, with an alert.
//
// # Signatures beside the epoch
//
// Three more things are signed, each under a label of its own, so that none passes for another (lab(s) is s and a zero byte,
// integers are big-endian, ids 16 bytes, absent ids zeros; h is SHA-256; testdata/signatures.json holds what both ends refuse):
//
//	device  lab("pe1/device") ‖ user ‖ by ‖ kid ‖ kind1 ‖ h(enc_pub) ‖ h(sig_pub)        kind: 1 participant, 4 recovery, 9 analysis (user zeros)
//	grant   lab("pe1/share") ‖ session ‖ epoch4 ‖ by ‖ kid ‖ role1 ‖ alert ‖ h(wrap)
//	score   lab("pe1/score") ‖ session ‖ message ‖ epoch4 ‖ by ‖ side1 ‖ after8 ‖ level1 ‖ flags1 ‖ hard1 ‖ items6 ‖
//	        4×score4 ‖ lab(model) ‖ lab(ruleset) ‖ lab(rule) for each, sorted, each once
//
// A device is on rosters once another of the same person signed it (DeviceTerms). An analysis key is signed by the one before it
// when it is registered (Ring.Vouch): clients that know the one take the other, and nobody has to acknowledge it. A grant is a wrap beside the roster: history
// for one's own new device, or, under a consent to crisis access, an epoch for the clinician who was paged. A score is what a
// device found in a message of a strict session, with the position up to which it had read when it did.
//
//	code    the first 60 bits of h(lab("pe1/device-code") ‖ user ‖ kid ‖ h(enc_pub) ‖ h(sig_pub)), Crockford's base32, XXXX-XXXX-XXXX
//	safety  h(lab("pe1/safety") ‖ for each device by kid: kid ‖ h(enc_pub) ‖ h(sig_pub)); six groups, each 5 bytes mod 100000
//
// A recovery key is a device of role 4 that stands on every roster of its person's sessions; its private keys, and one for age,
// are kept as nonce12 ‖ AES-256-GCM(kek, enc32 ‖ sig32 ‖ age32) with the additional data lab("pe1/recovery") ‖ user ‖ kid ‖
// memory4 (KiB) ‖ passes4 ‖ lanes1 ‖ salt16, where kek is Argon2id of the passphrase in NFKC. Only browsers open one
// (testdata/recovery.json): neither Argon2 nor age is in the sidecar.
//
// # The analysis keys
//
// A KeyKeeper holds the sidecar's own keys. The newest stands on new rosters, vouched for by the one before it; the older ones
// open what was sealed to them, until the database says that nothing needs them and Ring.Drop and KeyKeeper.Remove end them.
// What a revoked key signed after its revocation counts for nothing. Where the older key is lost, nothing vouches for the new
// one, and every client asks its person.
//
// Guarantees: nothing is opened before every signature over it was verified; an epoch that gives the analysis key to a
// sidecar is refused without a consent that a client's device on its roster signed and that nobody withdrew; suite 1 (the
// first test vector, which knew no consent) is refused by every exported function; errors carry no plaintext, ciphertext or
// key; it all works under GODEBUG=fips140=only, with Go's standard library alone.
//
// Not guaranteed: ECDSA signatures are malleable (r, n−s verifies as well), so a signature is never an identity; Go may have
// copied plaintext before Wipe sees it; a device key that is false at its first use is pinned as it is (see Pins).
package envelope
