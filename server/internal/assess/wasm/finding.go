// Command wasm is the detector for a browser: built with GOOS=js GOARCH=wasm (`go tool task detect:wasm`) it hands a function
// assess(text, state) to whoever loads it, see main_js.go. Built for this machine it writes what the detector finds in the
// whole corpus, one line of JSON a message, which realtime/client's test holds the browser's against.
//
// Guarantees: the browser's answer is the sidecar's, bit for bit, under the default policy; nothing leaves the page and
// nothing is read but what is handed in. Not guaranteed: that it is right. It is not clinically validated.
package main

import (
	"github.com/google/uuid"

	"vigil/server/internal/assess"
	"vigil/server/internal/triage"
)

// detect is what both builds do with one message.
func detect(d *assess.Detector, text string, state triage.State) (triage.Assessment, triage.State) {
	return d.Assess(text, state, triage.DefaultCrisisPolicy(uuid.Nil))
}
