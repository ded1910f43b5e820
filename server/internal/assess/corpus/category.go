package corpus

import (
	"maps"
	"slices"
	"strings"
)

// Unknown is the label of what readers would differ on, or nobody said.
const Unknown int8 = -1

// labels are what a category says of its messages, unless the seed says otherwise.
type labels struct {
	risk, level           int8
	harm, abuse, distress int8
	sentiment             string
}

const positive, negative, neutral, mixed = "positive", "negative", "neutral", "ambiguous"

// categories holds what a message may be.
var categories = map[string]labels{
	"passive":   {risk: 1, level: 1, distress: Unknown, sentiment: negative},
	"active":    {risk: 1, level: 2, distress: Unknown, sentiment: negative},
	"nssi":      {risk: 1, level: 2, distress: Unknown, sentiment: negative},
	"method":    {risk: 1, level: 3, distress: Unknown, sentiment: negative},
	"intent":    {risk: 1, level: 4, distress: Unknown, sentiment: negative},
	"plan":      {risk: 1, level: 5, distress: Unknown, sentiment: negative},
	"implicit":  {risk: 1, level: 4, distress: Unknown},
	"behaviour": {risk: 1, level: 6, distress: Unknown, sentiment: negative},
	"algospeak": {risk: 1, level: 2, distress: Unknown, sentiment: negative},
	"typos":     {risk: 1, level: 2, distress: Unknown, sentiment: negative},
	"emoji":     {risk: 1, level: 2, distress: Unknown, sentiment: negative},

	"ambiguous": {risk: Unknown, level: 1, distress: Unknown},
	"past":      {risk: Unknown, level: 1, distress: Unknown},

	"negation":          {distress: Unknown},
	"recovered":         {},
	"third_person":      {distress: Unknown},
	"quote":             {},
	"education":         {},
	"idiom":             {},
	"tech":              {},
	"game":              {},
	"ordinary":          {},
	"ordinary_distress": {sentiment: negative},
	"benign_means":      {},

	"distress":    {distress: 1, sentiment: negative},
	"eating":      {distress: 1, sentiment: negative},
	"harm_others": {harm: 1, abuse: Unknown, distress: Unknown, sentiment: negative},
	"harm_idiom":  {},
	"abuse":       {abuse: 1, distress: Unknown, sentiment: negative},
	"abuse_other": {},

	"sentiment": {},
	"topic":     {distress: Unknown},
}

// Categories returns the names of all categories, in order.
func Categories() []string { return slices.Sorted(maps.Keys(categories)) }

// Languages are those in which the corpus is written, as the names of their folders.
func Languages() []string { return slices.Sorted(maps.Keys(tails)) }

var (
	registers  = []string{"plain", "text", "slang", "formal", "clinical", "emoji"}
	ages       = []string{"child", "teen", "adult", "older"}
	sentiments = []string{positive, negative, neutral, mixed}

	topics = strings.Fields(`depression intimacy relationships anxiety family-conflict parenting self-esteem
		relationship-dissolution anger-management trauma behavioral-change marriage lgbtq domestic-violence
		workplace-relationships social-relationships grief-and-loss substance-abuse sleep-improvement professional-ethics
		eating-disorders legal-regulatory spirituality stress human-sexuality children-adolescents addiction military-issues
		counseling-fundamentals work school money health`)

	// violentTopics are asked about by people who may be abused and do not say so.
	violentTopics = []string{"domestic-violence", "trauma"}
)
