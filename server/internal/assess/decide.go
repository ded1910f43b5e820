package assess

import "vigil/server/internal/triage"

// faint is the probability under which a rule that is not hard counts for nothing: the phrase is there, and everything
// around it says that it means something else.
const faint = .08

// quotable is the least probability of what is said behind a word for a song, a film or a book.
const quotable = .85

// finding gathers what the rules and the model say of one message.
type finding struct {
	*scratch
	model  *Model
	p      [Heads]float32
	shades *Shades
	risky  bool // the session has spoken of suicide before

	items, denied [itemCount]bool
	playful       bool // there is an idiom
	excused       bool // a phrase was there, and does not count: denied, another's, quoted, an idiom
	once, now     bool // what was found is of long ago; of now
	hard          triage.Categories
	intent        bool
	n             int // of evidence
}

// idiomatic says whether an idiom overlaps s.hits[i]. Hits are in the order of their first word.
func (f *finding) idiomatic(i int) bool {
	all := f.hits
	overlaps := func(o hit) bool {
		return f.lexicon.rules[o.rule].item == itemIdiom && o.first <= all[i].last && all[i].first <= o.last
	}
	for j := i - 1; j >= 0 && all[j].first >= all[i].first-maxSpan; j-- {
		if overlaps(all[j]) {
			return true
		}
	}
	for j := i + 1; j < len(all) && all[j].first <= all[i].last; j++ {
		if overlaps(all[j]) {
			return true
		}
	}
	return false
}

// headOf is the model's question that an item belongs to.
func headOf(i item) (Head, triage.Categories) {
	switch i {
	case itemHarm:
		return HeadHarm, triage.HarmOthers
	case itemAbuse:
		return HeadAbuse, triage.Abuse
	case itemDistress:
		return HeadDistress, triage.Distress
	}
	return HeadRisk, triage.SelfHarm
}

// add counts a hit unless it is denied, another person's, quoted, or part of an idiom, or the model hears nothing in it.
func (f *finding) add(i int) {
	h := f.hits[i]
	r := &f.lexicon.rules[h.rule]
	if r.item == itemIdiom || r.item == itemPast {
		f.playful = f.playful || r.item == itemIdiom
		return
	}
	if f.idiomatic(i) {
		return
	}
	if r.needsDeath && !f.ofDeath(h.first) {
		return
	}
	c := f.contextOf(h)
	if c.negated && f.speaksAnew(h) {
		c.negated = false
	}
	if c.negated && !c.quoted && (!c.other || r.self) {
		f.denied[r.item] = true
	}
	if c.negated || c.quoted || (c.other && !r.self) || (r.needsOther && !c.other) || (c.asked && !r.hard) {
		f.excused = f.excused || r.item != itemDistress
		return
	}
	head, category := headOf(r.item)
	least := float32(faint)
	switch {
	case c.media:
		least = max(f.model.Head[head].Said, quotable)
	case r.hard, r.item == itemWish && c.first:
		least = 0
	}
	if f.p[head] < least {
		f.excused = true
		return
	}
	item := r.item
	if c.past && item.suicidal() {
		item, f.once = itemWish, true // not now: somebody should still look at it
	} else if r.hard || item == itemHarm {
		f.hard |= category // a threat that is said outright pages, whatever a policy asks of the model
	}
	f.items[item] = true
	if item.suicidal() {
		f.now = f.now || !c.past
		f.intent = f.intent || c.intent && item >= itemThoughts
		if c.means && item == itemThoughts {
			f.items[itemMethod] = true
		}
	}
	f.show(r.id, int32(h.first), int32(h.last))
}

// speaksAnew says whether the writer comes in as the subject once more between the nearest negator and h: "I'm not joking I took" denies
// the joke, "I don't think I want" what is thought.
func (f *finding) speaksAnew(h hit) bool {
	anew := false
	for i, back := h.first-1, 1; i >= 0 && back <= reportReach; i, back = i-1, back+1 {
		class := f.lexicon.classOf(f.tokens[i].word)
		if class&classNegator != 0 {
			return anew && f.lexicon.classOf(f.tokens[i+1].word)&classReport == 0
		}
		anew = anew || class&classSubject != 0
	}
	return false // denied by what follows
}

func (f *finding) show(rule string, first, last int32) {
	if f.n == maxEvidence {
		return
	}
	from, to := &f.tokens[first], &f.tokens[last]
	f.evidence[f.n] = triage.Evidence{
		Rule: rule, Start: int(from.start), End: int(to.end), UTF16Start: int(from.start16), UTF16End: int(to.end16),
	}
	f.n++
}

// unsaid is a scope in which a direct phrase says nothing about the writer now.
const unsaid = negated | negatedAfter | quoted | inPast | byOther | played | joking

// addDirect counts the phrases that say outright what they say, in languages that the rules do not speak.
func (f *finding) addDirect() {
	if f.tongues.first == english && f.tongues.second < 0 {
		return
	}
	for i := range f.spans {
		p := &f.spans[i]
		f.playful = f.playful || p.means&idiom != 0
		if p.means&(directRisk|directPlan) == 0 || p.means&negDirect != 0 || p.scope&unsaid != 0 {
			continue
		}
		if p.means&directPlan != 0 && f.p[HeadRisk] >= faint {
			f.items[itemIntent] = true
			f.show("direct.plan", p.first, p.last)
		} else {
			f.items[itemThoughts] = true
			f.show("direct.thoughts", p.first, p.last)
		}
		f.hard |= triage.SelfHarm
	}
}

// assessment puts the items together (a plan and intent weigh more than either) with what the model says.
func (f *finding) assessment() triage.Assessment {
	for i := range f.hits {
		f.add(i)
	}
	f.addDirect()
	a := triage.Assessment{Hard: f.hard, Language: f.lexicon.tongues[f.tongues.first]}
	a.Scores = triage.Scores{Risk: f.p[HeadRisk], HarmOthers: f.p[HeadHarm], Abuse: f.p[HeadAbuse], Distress: f.p[HeadDistress]}
	a.Level = max(f.ruleLevel(), f.modelLevel())
	a.HarmOthers = f.items[itemHarm] || f.said(HeadHarm) && (f.violent() || f.p[HeadHarm] >= threatening && !f.othersOwn()) && !f.excusable(HeadHarm)
	a.Abuse = f.items[itemAbuse] || f.said(HeadAbuse) && !f.excusable(HeadAbuse) && !(f.items[itemHarm] && f.p[HeadAbuse] < certain)
	a.Distress = f.items[itemDistress] || f.said(HeadDistress)
	a.Items = f.screen(a.Level)
	f.explain(&a)
	f.colour(&a)
	if f.n > 0 {
		a.Evidence = append(make([]triage.Evidence, 0, f.n), f.evidence[:f.n]...)
	}
	return a
}

func (f *finding) said(h Head) bool { return f.p[h] >= f.model.Head[h].Said }

func (f *finding) ruleLevel() (level triage.Level) {
	for item := itemWish; item <= itemBehaviour; item++ {
		if f.items[item] {
			level = triage.Level(item)
		}
	}
	speaks := level >= triage.LevelActiveThoughts
	switch {
	case f.items[itemPreparation] && (speaks && f.intent || f.risky && f.items[itemWish]):
		level = max(level, triage.LevelPlanAndIntent)
	case f.items[itemPreparation] && (speaks || f.risky), f.intent:
		level = max(level, triage.LevelIntent)
	}
	return level
}

// certain is the probability from which the model counts although all that was said outright is excused.
const certain = .985

// excusable says whether every phrase that spoke for what h asks is excused, and the model is not certain of more.
func (f *finding) excusable(h Head) bool {
	return f.playful && !f.violentBeside() || f.excused && f.hard == 0 && f.p[h] < certain
}

// threatening is the probability from which the model's word alone is a threat.
const threatening = .93

// violence is what a threat is made of. Without any of it the model must be surer.
const violence = threat | directHarm | kill | hurt | beating | weapon | cut | means | die | suicide | burden | end

func (f *finding) violent() bool {
	for i := range f.spans {
		if f.spans[i].means&violence != 0 && f.spans[i].scope&played == 0 && !f.toThemselves(i) {
			return true
		}
	}
	return false
}

// othersOwn says whether somebody else's harm to themselves is spoken of.
func (f *finding) othersOwn() bool {
	for i := range f.spans {
		if f.spans[i].means&violence != 0 && f.toThemselves(i) {
			return true
		}
	}
	return false
}

// toThemselves says whether what the span says is done to whoever does it: "my brother is going to hurt himself", "kill myself".
func (f *finding) toThemselves(span int) bool {
	next := f.spans[span].last + 1
	if int(next) >= len(f.tokens) {
		return false
	}
	word := f.tokens[next].word
	return word != 0 && (f.lexicon.group[word] == reflexives || f.lexicon.classOf(word)&classMyself != 0)
}

// modelLevel is the highest level that the model is sure enough of, as it is of every lower one.
func (f *finding) modelLevel() (level triage.Level) {
	for k := triage.LevelWishToBeDead; k <= triage.LevelMax && f.said(HeadLevel1+Head(k)-1); k++ {
		level = k
	}
	if !f.grave() {
		if f.p[HeadLevel1] < (1+f.model.Head[HeadLevel1].Said)/2 {
			return triage.LevelNone
		}
		level = min(level, triage.LevelWishToBeDead)
	}
	switch {
	case f.once && !f.now && f.p[HeadLevel4] < certain:
		level = min(level, triage.LevelWishToBeDead)
	case f.thought() && f.ruleLevel() <= triage.LevelMethod:
		level = min(level, triage.LevelMethod)
	}
	if f.playful && f.hard == 0 && !f.graveBeside() {
		return triage.LevelNone
	}
	if f.excused && f.hard == 0 && f.p[HeadLevel4] < certain {
		if f.p[HeadRisk] < certain {
			return triage.LevelNone
		}
		level = min(level, triage.LevelWishToBeDead)
	}
	return level
}

// gravity is what a wish to be dead is made of. Without any of it the model must be surer, and pages
// nobody.
const gravity = die | kill | suicide | life | end | notWake | hurt | cut | means | farewell | note | hopeless | burden | attempt | dispose |
	skull | directRisk | directPlan | plan

func (f *finding) grave() bool {
	for i := range f.spans {
		if f.spans[i].means&gravity != 0 {
			return true
		}
	}
	return false
}

// done is what makes more than a thought of one.
const done = soon | recent | farewell | note | plan | attempt | directPlan | dispose

// thought says whether what is said is thought about, and nothing of it done, arranged or set for a time.
func (f *finding) thought() bool {
	thinks := false
	for i := range f.spans {
		if f.spans[i].means&done != 0 {
			return false
		}
		thinks = thinks || f.spans[i].means&think != 0
	}
	return thinks
}

// graveBeside says whether anything grave stands outside every idiom; violentBeside, whether anything violent does.
func (f *finding) graveBeside() bool   { return f.beside(gravity) }
func (f *finding) violentBeside() bool { return f.beside(violence | sexual | control) }

func (f *finding) beside(wanted concepts) bool {
next:
	for i := range f.spans {
		p := &f.spans[i]
		if p.means&wanted == 0 || p.means&idiom != 0 {
			continue
		}
		for j := range f.hits {
			h := &f.hits[j]
			if f.lexicon.rules[h.rule].item == itemIdiom && int32(h.first) <= p.last && p.first <= int32(h.last) {
				continue next
			}
		}
		return true
	}
	return false
}

// ofDeath says whether somebody's death or suicide is spoken of before token i.
func (f *finding) ofDeath(i int) bool {
	for k := range f.spans {
		if int(f.spans[k].last) < i && f.spans[k].means&(die|kill|suicide) != 0 {
			return true
		}
	}
	return false
}

// screen says of each item of the screener what the message says of it.
func (f *finding) screen(level triage.Level) (items triage.Items) {
	for i := itemWish; i <= itemBehaviour; i++ {
		switch {
		case f.items[i], triage.Level(i) == level:
			items[i-1] = triage.ItemPresent
		case f.denied[i]:
			items[i-1] = triage.ItemAbsent
		}
	}
	return items
}

// explain adds the phrases that moved the model most, where no rule has said all of why: what a policy holds of a rule must not hold of
// what the model found beside it.
func (f *finding) explain(a *triage.Assessment) {
	for _, ask := range [...]struct {
		found bool
		head  Head
	}{
		{a.Level > f.ruleLevel(), HeadRisk}, {a.HarmOthers && !f.items[itemHarm], HeadHarm},
		{a.Abuse && !f.items[itemAbuse], HeadAbuse}, {a.Distress && !f.items[itemDistress], HeadDistress},
	} {
		if ask.found {
			f.point(ask.head)
		}
	}
}

// pointed is how many phrases a head names.
const pointed = 2

// point shows the phrases with the highest weight for h, in the stretch that has most.
func (f *finding) point(h Head) {
	taken := [pointed]int{-1, -1}
	for n := range taken {
		best, most := -1, int32(0)
		for i := range f.spans {
			if i == taken[0] {
				continue
			}
			p := &f.spans[i]
			scoped := uint64(p.scope & (bySelf | byOther | negated))
			w := f.model.ideaWeight(feature(kindIdea, uint64(p.kind), 0), h) + f.model.ideaWeight(feature(kindIdeaScope, uint64(p.kind), scoped), h)
			if w > most {
				best, most = i, w
			}
		}
		if best < 0 {
			break
		}
		taken[n] = best
		f.show(ideaRules[f.spans[best].kind], f.spans[best].first, f.spans[best].last)
	}
	if taken[0] < 0 && len(f.segments) > 0 {
		best, most := 0, float32(-1<<10)
		for i := range f.sums {
			var one [Outputs]float32
			f.model.logits(&f.sums[i], &one)
			if one[h] > most {
				best, most = i, one[h]
			}
		}
		f.show("model.words", f.segments[best].first, f.segments[best].end-1)
	}
}

func (m *Model) ideaWeight(id uint32, h Head) int32 {
	return int32(m.Ideas[int(id>>(32-m.IdeaBits))*Outputs+int(h)])
}
