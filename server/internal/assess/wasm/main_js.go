//go:build js && wasm

package main

import (
	"syscall/js"

	"vigil/server/internal/assess"
	"vigil/server/internal/triage"
)

// ready is the global function that is handed assess(text, state) once it can be called.
const ready = "vigilDetectorReady"

func main() {
	d := assess.New()
	js.Global().Call(ready, js.FuncOf(func(_ js.Value, args []js.Value) any { return answer(d, args) }))
	select {} // the page ends it
}

// answer takes a string and the state that the message before gave (a Uint8Array; empty or absent for a session's first).
// What it is given of another kind counts as nothing: a fault in here would end the module.
func answer(d *assess.Detector, args []js.Value) any {
	var text string
	if len(args) > 0 && args[0].Type() == js.TypeString {
		text = args[0].String()
	}
	var state triage.State
	if len(args) > 1 && args[1].InstanceOf(js.Global().Get("Uint8Array")) && args[1].Length() > 0 {
		state = triage.State{Version: assess.StateVersion, Data: make([]byte, args[1].Length())}
		js.CopyBytesToGo(state.Data, args[1])
	}
	a, after := detect(d, text, state)
	return object(&a, after)
}

func object(a *triage.Assessment, after triage.State) js.Value {
	o := js.Global().Get("Object").New()
	o.Set("level", int(a.Level))
	o.Set("harmOthers", a.HarmOthers)
	o.Set("abuse", a.Abuse)
	o.Set("distress", a.Distress)
	o.Set("items", list(a.Items[:], func(item triage.Item) any { return int(item) }))
	o.Set("scores", list([]float32{a.Scores.Risk, a.Scores.HarmOthers, a.Scores.Abuse, a.Scores.Distress}, func(score float32) any { return score }))
	o.Set("hard", texts(a.Hard.Names()))
	o.Set("sentiment", a.Sentiment)
	o.Set("emotions", texts(a.Emotions))
	o.Set("topics", texts(a.Topics))
	o.Set("language", a.Language)
	o.Set("evidence", list(a.Evidence, func(e triage.Evidence) any {
		one := js.Global().Get("Object").New()
		one.Set("rule", e.Rule)
		one.Set("start", e.UTF16Start)
		one.Set("end", e.UTF16End)
		return one
	}))
	o.Set("alert", a.Alert)
	o.Set("escalate", a.Escalate)
	o.Set("model", a.ModelVersion)
	o.Set("ruleset", a.RulesetVersion)
	state := js.Global().Get("Uint8Array").New(len(after.Data))
	js.CopyBytesToJS(state, after.Data)
	o.Set("state", state)
	return o
}

func list[T any](from []T, value func(T) any) js.Value {
	array := js.Global().Get("Array").New(len(from))
	for i := range from {
		array.SetIndex(i, value(from[i]))
	}
	return array
}

func texts(from []string) js.Value { return list(from, func(s string) any { return s }) }
