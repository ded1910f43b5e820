package triage

import (
	"slices"

	"github.com/google/uuid"
)

// Categories is a set of what an assessment can find.
type Categories uint8

// The categories.
const (
	SelfHarm Categories = 1 << iota
	HarmOthers
	Abuse
	Distress

	// AllCategories is all of them.
	AllCategories = SelfHarm | HarmOthers | Abuse | Distress
)

// categoryNames are the categories as the database writes them, by bit.
var categoryNames = [...]string{"self_harm", "harm_others", "abuse", "distress"}

// Has says whether every category of other is in c.
func (c Categories) Has(other Categories) bool { return c&other == other }

// Names gives the categories as the database writes them.
func (c Categories) Names() []string {
	names := make([]string, 0, len(categoryNames))
	for bit, name := range categoryNames {
		if c&(1<<bit) != 0 {
			names = append(names, name)
		}
	}
	return names
}

// CategoriesOf is Names the other way round. A name that it does not know, of a newer database, counts for nothing.
func CategoriesOf(names []string) Categories {
	var c Categories
	for _, name := range names {
		if bit := slices.Index(categoryNames[:], name); bit >= 0 {
			c |= 1 << bit
		}
	}
	return c
}

// Bar is what a finding must reach to count for something.
type Bar struct {
	Categories Categories // those that count at all
	Least      Scores     // and how probable each must be, where no hard rule forced it; 0 asks for nothing
}

// passes says whether a category that was found counts.
func (b *Bar) passes(category, hard Categories, score, least float32) bool {
	return b.Categories.Has(category) && (hard.Has(category) || !(score < least)) // what is not a number holds nothing back
}

// counts says whether anything that a found counts. Self-harm counts from level on.
func (b *Bar) counts(a *Assessment, level Level, hard Categories) bool {
	return a.Level > LevelNone && a.Level >= level && b.passes(SelfHarm, hard, a.Scores.Risk, b.Least.Risk) ||
		a.HarmOthers && b.passes(HarmOthers, hard, a.Scores.HarmOthers, b.Least.HarmOthers) ||
		a.Abuse && b.passes(Abuse, hard, a.Scores.Abuse, b.Least.Abuse) ||
		a.Distress && b.passes(Distress, hard, a.Scores.Distress, b.Least.Distress)
}

// Terms are an organisation's own words for topics, compiled by whoever finds them; nobody else looks inside. They are
// immutable and safe for concurrent use.
type Terms interface {
	// Len is how many there are.
	Len() int
}

// TopicTerm is a row of topic_terms.
type TopicTerm struct {
	Topic    string // a slug
	Term     string
	Language string // ISO 639-1; "" is any
}

// CrisisPolicy is an organisation's row of crisis_policies. The zero value tells nobody anything: begin with
// DefaultCrisisPolicy. Copies share its slices and Terms, which
// nobody changes.
type CrisisPolicy struct {
	OrganizationID uuid.UUID
	PageAtLevel    Level // a message at or above it raises an alert
	ReviewAtLevel  Level // a message at or above it is for somebody's review
	Page, Review   Bar

	// QuietRules are rule ids whose evidence alone pages nobody. Self-harm from intent on that a hard rule forced pages all the
	// same.
	QuietRules []string
	// ReviewRules are rule ids whose evidence is for review, whatever the level.
	ReviewRules []string

	TopicTerms   []TopicTerm // as they are stored, until whoever keeps the policy has compiled them into Terms
	Terms        Terms       // nil: none
	TermsVersion int32       // the Version that the terms last changed with; 0: never

	Version int32 // rises with each change; 0 = the default below, no row
}

// PageHarmLeast is how probable a danger to others must be to page, where no hard rule forced it and a policy says nothing else: most
// of what sounds like a threat is anger, and goes to the review list. It is the default of crisis_policies.page_least_harm_others.
const PageHarmLeast = 0.98

// DefaultCrisisPolicy is in force for an organisation without a row.
func DefaultCrisisPolicy(organization uuid.UUID) CrisisPolicy {
	return CrisisPolicy{
		OrganizationID: organization, PageAtLevel: LevelIntent, ReviewAtLevel: LevelWishToBeDead,
		Page:   Bar{Categories: SelfHarm | HarmOthers, Least: Scores{HarmOthers: PageHarmLeast}},
		Review: Bar{Categories: AllCategories},
	}
}

// Pages says whether a raises an alert under p. A level of none never pages by level, whatever the policy says. A
// detector that raises an alert of its own (a session's level, say) asks p.Page.Categories first.
func (p CrisisPolicy) Pages(a Assessment) bool {
	if p.quiet(&a) {
		loud := a.Hard & SelfHarm
		if a.Level < LevelIntent {
			loud = 0
		}
		return loud != 0 && p.Page.counts(only(a, loud), p.PageAtLevel, loud)
	}
	return p.Page.counts(&a, p.PageAtLevel, a.Hard)
}

// only returns a with nothing found but what is in categories.
func only(a Assessment, categories Categories) *Assessment {
	if !categories.Has(SelfHarm) {
		a.Level = LevelNone
	}
	a.HarmOthers = a.HarmOthers && categories.Has(HarmOthers)
	a.Abuse = a.Abuse && categories.Has(Abuse)
	a.Distress = a.Distress && categories.Has(Distress)
	return &a
}

// quiet says whether everything that was found rests on quiet rules. A finding without evidence rests on none.
func (p *CrisisPolicy) quiet(a *Assessment) bool {
	if len(p.QuietRules) == 0 {
		return false
	}
	found := false
	for _, e := range a.Evidence {
		if e.IsTopic() {
			continue
		}
		if !slices.Contains(p.QuietRules, e.Rule) {
			return false
		}
		found = true
	}
	return found
}

// Reviews says whether a belongs on a review list under p.
func (p CrisisPolicy) Reviews(a Assessment) bool {
	if p.Pages(a) || p.Review.counts(&a, p.ReviewAtLevel, a.Hard) {
		return true
	}
	return len(p.ReviewRules) > 0 && slices.ContainsFunc(a.Evidence, func(e Evidence) bool { return slices.Contains(p.ReviewRules, e.Rule) })
}

// Decide sets a's Alert, Escalate and PolicyVersion from p. It raises what the detector set and never lowers it.
func (p CrisisPolicy) Decide(a Assessment) Assessment {
	a.Alert = a.Alert || p.Pages(a)
	a.Escalate = a.Escalate || a.Alert || p.Reviews(a)
	a.PolicyVersion = p.Version
	return a
}
