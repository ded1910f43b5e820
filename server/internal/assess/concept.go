package assess

import "strings"

// concepts is a set of what a word or phrase may mean, whatever its language. The names are those of lexicon/*.txt.
type concepts uint64

const (
	self concepts = 1 << iota
	other
	neg
	wanting
	die
	kill
	suicide
	life
	end
	notWake
	hurt
	cut
	means
	soon
	past
	recent
	again
	still
	farewell
	note
	plan
	attempt
	hopeless
	burden
	alone
	tired
	panicked
	quote
	question
	idiom
	game
	tech
	threat
	beating
	sexual
	control
	fear
	love
	good
	bad
	thanks
	intensifier
	hedge
	directRisk
	directPlan
	directHarm
	directAbuse
	negDirect
	laugh
	skull
	think
	hypothetical
	undeny
	dispose
	child
	weapon
	body
	ask
	conceptEnd
)

// direct are the concepts of whole phrases that say what they say in any language.
const direct = directRisk | directPlan | directHarm | directAbuse | negDirect

const conceptNames = "self other neg want die kill suicide life end notwake hurt cut means soon past recent again still " +
	"farewell note plan attempt hopeless burden alone tired panic quote question idiom game tech threat hit sexual control " +
	"fear love good bad thanks intensifier hedge direct directplan directharm directabuse negdirect laugh skull think hypo " +
	"undeny dispose child weapon body ask"

// signs is the lexicon of emoji and faces, which belong to no language.
const signs = "signs"

func conceptNamed(name string) concepts {
	for i, n := range strings.Fields(conceptNames) {
		if n == name {
			return 1 << i
		}
	}
	return 0
}

// first returns the number of the lowest concept of c, from 1.
func (c concepts) first() uint64 {
	n := uint64(0)
	for c != 0 {
		n++
		if c&1 != 0 {
			return n
		}
		c >>= 1
	}
	return 0
}

// ideaRules are the rule ids of evidence that the model gives, by the number of a concept.
var ideaRules = func() (ids [64]string) {
	for i, name := range strings.Fields(conceptNames) {
		ids[i+1] = "idea." + name
	}
	return ids
}()
