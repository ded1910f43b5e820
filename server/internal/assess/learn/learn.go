// Package learn trains the detector's model and judges the detector: the commands `go tool task detect:train` and
// `detect:eval`. For development only: the sidecar does not carry it.
//
// Guarantees: the same data and seed give the same bytes and the same numbers; a file of shared data is used only when
// its checksum is the known one; nothing that is held apart is trained on; no text of shared data is printed or written.
//
// Not guaranteed: that the labels are right (those of public forums are weak), or that the numbers hold for other
// people's talk. None of this is clinical validation.
package learn
