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

	copies, copiesElsewhere int // expansions of one seed in English, and in other languages
}

const positive, negative, neutral, mixed = "positive", "negative", "neutral", "ambiguous"

// categories holds what a message may be. Copies are chosen so that no category drowns the others: few where people
// wrote many seeds.
var categories = map[string]labels{
	"passive":   {risk: 1, level: 1, distress: Unknown, sentiment: negative, copies: 5, copiesElsewhere: 4},
	"active":    {risk: 1, level: 2, distress: Unknown, sentiment: negative, copies: 6, copiesElsewhere: 4},
	"nssi":      {risk: 1, level: 2, distress: Unknown, sentiment: negative, copies: 6, copiesElsewhere: 4},
	"method":    {risk: 1, level: 3, distress: Unknown, sentiment: negative, copies: 6, copiesElsewhere: 4},
	"intent":    {risk: 1, level: 4, distress: Unknown, sentiment: negative, copies: 6, copiesElsewhere: 4},
	"plan":      {risk: 1, level: 5, distress: Unknown, sentiment: negative, copies: 5, copiesElsewhere: 4},
	"implicit":  {risk: 1, level: 4, distress: Unknown, copies: 6, copiesElsewhere: 5},
	"behaviour": {risk: 1, level: 6, distress: Unknown, sentiment: negative, copies: 5, copiesElsewhere: 4},
	"algospeak": {risk: 1, level: 2, distress: Unknown, sentiment: negative, copies: 6, copiesElsewhere: 4},
	"typos":     {risk: 1, level: 2, distress: Unknown, sentiment: negative, copies: 5, copiesElsewhere: 4},
	"emoji":     {risk: 1, level: 2, distress: Unknown, sentiment: negative, copies: 5, copiesElsewhere: 4},

	"ambiguous": {risk: Unknown, level: 1, distress: Unknown, copies: 2, copiesElsewhere: 2},
	"past":      {risk: Unknown, level: 1, distress: Unknown, copies: 3, copiesElsewhere: 2},

	"negation":          {distress: Unknown, copies: 5, copiesElsewhere: 5},
	"recovered":         {copies: 5, copiesElsewhere: 4},
	"third_person":      {distress: Unknown, copies: 5, copiesElsewhere: 4},
	"quote":             {copies: 4, copiesElsewhere: 4},
	"education":         {copies: 4, copiesElsewhere: 4},
	"idiom":             {copies: 4, copiesElsewhere: 4},
	"tech":              {copies: 4, copiesElsewhere: 3},
	"game":              {copies: 4, copiesElsewhere: 3},
	"ordinary":          {copies: 3, copiesElsewhere: 4},
	"ordinary_distress": {sentiment: negative, copies: 4, copiesElsewhere: 4},
	"benign_means":      {copies: 5, copiesElsewhere: 5},

	"distress":    {distress: 1, sentiment: negative, copies: 5, copiesElsewhere: 4},
	"eating":      {distress: 1, sentiment: negative, copies: 4, copiesElsewhere: 3},
	"harm_others": {harm: 1, abuse: Unknown, distress: Unknown, sentiment: negative, copies: 5, copiesElsewhere: 4},
	"harm_idiom":  {copies: 5, copiesElsewhere: 4},
	"abuse":       {abuse: 1, distress: Unknown, sentiment: negative, copies: 5, copiesElsewhere: 4},
	"abuse_other": {copies: 5, copiesElsewhere: 4},

	"sentiment": {copies: 2, copiesElsewhere: 2},
	"topic":     {distress: Unknown, copies: 2, copiesElsewhere: 2},
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
