package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// stepsOfWorld is how many steps the test plays: a few in the suite, VIGIL_DOORS of them by hand.
const (
	stepsOfWorld  = 16
	stepsOfPhase  = 8 // between two checkpoints
	seedOfWorld   = 20261123
	variableSteps = "VIGIL_DOORS"
	variableSeed  = "VIGIL_SEED"
)

func numberOf(t testing.TB, variable string, otherwise int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// TestWhatIsRelayedIsWhatCanBeSelected is guarantee 4 as a property: one rule has two doors. In a world where people gain and lose
// rights at random, whoever is sent a row could have selected it then; whoever may follow a topic is sent all of it, once and in
// order; whom a topic is refused cannot select what is only there. What was committed, and who could select what, is read apart
// from the sidecar: on a slot of its own, and as each person.
func TestWhatIsRelayedIsWhatCanBeSelected(t *testing.T) {
	t.Parallel()
	s := setup(t, options{})
	s.sidecar.begin(t)
	s.sidecar.mustBeReady(t)
	seed, steps := numberOf(t, variableSeed, seedOfWorld), numberOf(t, variableSteps, stepsOfWorld)
	t.Logf("%s=%d %s=%d", variableSeed, seed, variableSteps, steps)
	w := newWorld(t, s, uint64(seed))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w.everyone(ctx, t)
	for step := 1; step <= steps && !t.Failed(); step++ {
		w.play(t)
		if step%stepsOfPhase == 0 || step == steps {
			w.checkpoint(t)
			w.verify(t)
		}
	}
	w.provesSomething(t)
}

// verify compares, for everyone and every topic, what came with what was committed and what could be selected.
func (w *world) verify(t testing.TB) {
	t.Helper()
	w.readLog(t)
	w.findOnlyThere()
	for i, m := range w.members {
		if err := m.attendee.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		m.attendee.mu.Lock()
		for _, topic := range w.topics {
			for _, fault := range w.judge(i, topic, m.attendee.topics[topic]) {
				t.Errorf("%s on %s: %s", m.attendee.name, topic, fault)
			}
		}
		m.attendee.mu.Unlock()
	}
	now := w.states[len(w.states)-1]
	for i, m := range w.members {
		for key, digest := range now.seen[i].rows {
			if now.rows[key].digest != digest {
				t.Errorf("%s selects %s otherwise than it is", m.attendee.name, key)
			}
		}
	}
}

// judge gives what is wrong with one person's channel on one topic.
func (w *world) judge(who int, topic string, c *attended) (faults []string) {
	now := w.states[len(w.states)-1]
	may, m := now.seen[who].topics[topic], w.members[who]
	faults = append(faults, c.faults...)
	switch {
	case c.lost > 0:
		faults = append(faults, "a join did not recover")
	case m.bare && len(c.got) > 0:
		faults = append(faults, "somebody without a token was sent something")
	case m.bare:
		return faults
	case may && c.state != joinGranted:
		faults = append(faults, fmt.Sprintf("the rows can be selected, and the join is %s", c.state))
	case !may && c.state == joinGranted:
		faults = append(faults, "the rows cannot be selected, and the join is granted")
	}
	if !may {
		faults = append(faults, w.closed(who, topic)...)
	}
	return append(faults, w.compare(who, topic, c, may)...)
}

// closed gives the rows that are only on the topic, and that somebody can select to whom it is refused.
func (w *world) closed(who int, topic string) (faults []string) {
	seen := w.states[len(w.states)-1].seen[who]
	for _, key := range w.onlyThere[topic] {
		if _, ok := seen.rows[key]; ok {
			faults = append(faults, "the topic is refused, and a row of it can be selected: "+key)
		}
	}
	return faults
}

// findOnlyThere lists by topic the rows that are on no other.
func (w *world) findOnlyThere() {
	w.onlyThere = map[string][]string{}
	for key, shown := range w.states[len(w.states)-1].rows {
		table, _, _ := strings.Cut(key, " ")
		values := decodeRow([]byte(shown.row))
		for _, route := range w.doors[slices.IndexFunc(w.doors, func(d door) bool { return d.table == table })].routes {
			if route.onlyThere {
				topic := route.kind + ":" + fmt.Sprint(values[route.column])
				w.onlyThere[topic] = append(w.onlyThere[topic], key)
			}
		}
	}
}

// compare holds what came against the log: a part of it, whole and in order, to its end if complete, and nothing in it that could
// not be selected. Where that part begins stands once everything had come; until then it may be wherever all of it fits.
func (w *world) compare(who int, topic string, c *attended, complete bool) (faults []string) {
	log := w.log[topic]
	for _, r := range c.got[len(c.keys):] {
		c.keys = append(c.keys, w.keyOfPayload(r))
	}
	if complete && !c.placed {
		c.placed, c.first = true, len(log)-len(c.got)
		if len(c.got) < min(firstReplay, len(log)) {
			faults = append(faults, fmt.Sprintf("lost: %d came, and the log has %d", len(c.got), len(log)))
		}
	}
	if !c.placed {
		best := []string{fmt.Sprintf("the %d that came are no part of the log's %d", len(c.got), len(log))}
		for first := range max(0, len(log)-len(c.got)+1) {
			if fits(log[first:], c.got, c.keys) {
				if best = w.judgeEach(who, topic, log[first:], c.got); len(best) == 0 {
					break
				}
			}
		}
		return append(faults, best...)
	}
	if c.first < 0 || !fits(log[c.first:], c.got, c.keys) {
		return append(faults, fmt.Sprintf("the %d that came are not the log's %d from place %d on", len(c.got), len(log), c.first))
	}
	if complete && c.first+len(c.got) < len(log) {
		faults = append(faults, fmt.Sprintf("lost: %d came from place %d on, and the log has %d", len(c.got), c.first, len(log)))
	}
	faults = append(faults, w.judgeEach(who, topic, log[c.first+c.judged:], c.got[c.judged:])...)
	c.judged = len(c.got)
	return faults
}

// fits says whether all that came is what the log has from its beginning on.
func fits(log []entry, got []receipt, keys []string) bool {
	for i, r := range got {
		if i >= len(log) || log[i].event != r.event || log[i].key != keys[i] {
			return false
		}
	}
	return true
}

// judgeEach gives what should not have come, or not so.
func (w *world) judgeEach(who int, topic string, log []entry, got []receipt) (faults []string) {
	for i, r := range got {
		e := log[i]
		if !w.couldSelect(who, topic, e, r.now) {
			faults = append(faults, fmt.Sprintf("leaked: seq %d, %s of step %d, came in step %d", r.meta.Seq, e.event, e.step, r.now))
		}
		if fault := w.differs(e, r.payload); fault != "" {
			faults = append(faults, fmt.Sprintf("seq %d, %s: %s", r.meta.Seq, e.event, fault))
		}
	}
	return faults
}

// keyOfPayload names the row of a payload by the columns of its table's key.
func (w *world) keyOfPayload(r receipt) string {
	i := slices.IndexFunc(w.doors, func(d door) bool { return d.event == strings.TrimSuffix(r.event, "_deleted") })
	if i < 0 {
		return ""
	}
	values := decodeRow(r.payload)
	key := make([]string, len(w.doors[i].key))
	for j, k := range w.doors[i].key {
		key[j] = fmt.Sprint(values[k])
	}
	return keyOf(w.doors[i].table, key)
}

// couldSelect says whether the person could select the row, and follow the topic, in one of the states that what came in step came
// may rest on: from the step of the change on.
func (w *world) couldSelect(who int, topic string, e entry, came int) bool {
	for step := e.step; step <= min(came, len(w.states)-1); step++ {
		_, there := w.states[step].rows[e.key]
		_, seen := w.states[step].seen[who].rows[e.key]
		if w.states[step].seen[who].topics[topic] && (!there || seen) {
			return true
		}
	}
	return false
}

// differs says how a payload is not the row that could be selected; "" if it is, or if the row has been changed again since.
func (w *world) differs(e entry, payload json.RawMessage) string {
	row, there := w.states[e.step].rows[e.key]
	if !there || !e.last || strings.HasSuffix(e.event, "_deleted") {
		return ""
	}
	values := decodeRow([]byte(row.row))
	for name, value := range decodeRow(payload) {
		if want, ok := values[name]; !ok || !reflect.DeepEqual(value, want) {
			return "column " + name + " is not as it can be selected"
		}
	}
	return ""
}

// decodeRow reads a row as JSON, with numbers and times as text.
func decodeRow(row []byte) map[string]any {
	var values map[string]any
	d := json.NewDecoder(bytes.NewReader(row))
	d.UseNumber()
	if err := d.Decode(&values); err != nil {
		return nil
	}
	for name, value := range values {
		if text, ok := value.(string); ok {
			values[name] = plainText(text)
		}
	}
	return values
}

// provesSomething fails if too little happened for the comparison to mean anything.
func (w *world) provesSomething(t testing.TB) {
	t.Helper()
	byRoute, byRole := map[string]int{}, map[string]int{}
	cut, denied := 0, 0
	for _, m := range w.members {
		a := m.attendee
		a.mu.Lock()
		cut += a.cut
		for topic, c := range a.topics {
			kind, _, _ := strings.Cut(topic, ":")
			for _, r := range c.got {
				byRoute[r.event+" on "+kind]++
			}
			if byRole[m.role] += len(c.got); c.state == joinRefused {
				denied++
			}
		}
		a.mu.Unlock()
	}
	for _, d := range w.doors {
		for _, route := range d.routes {
			if byRoute[d.event+" on "+route.kind] == 0 {
				t.Errorf("no %s came on %s", d.event, route.kind)
			}
		}
	}
	if cut == 0 || denied == 0 || byRole["client"] == 0 || byRole["therapist"] == 0 || byRole["supervisor"] == 0 || byRole[""] > 0 {
		t.Errorf("%d channels were cut, %d joins refused; relayed by role: %v", cut, denied, byRole)
	}
	t.Logf("%d moves made, %d refused by the rules: %v", w.done, w.refused, w.movesByName)
	t.Logf("%d channels cut, %d joins refused at the end, %d came back in mid-step; relayed by role %v; by route %v",
		cut, denied, w.joinings.Load(), byRole, slices.Sorted(maps.Keys(byRoute)))
}
