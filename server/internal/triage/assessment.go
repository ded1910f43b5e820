package triage

import "strings"

// Item is what a message says of one item of the C-SSRS screener.
type Item int8

// What a message can say of an item. Not to speak of it is not to deny it.
const (
	ItemUnknown Item = iota
	ItemAbsent
	ItemPresent
)

// Items are the six items of the C-SSRS screener, item 1 (the wish to be dead) at index 0: a level's item is at level-1.
type Items [LevelMax]Item

// Scores are calibrated probabilities, each from 0 to 1.
type Scores struct {
	Risk       float32 // that the writer is at risk of self-harm
	HarmOthers float32
	Abuse      float32
	Distress   float32
}

// TopicRule begins the rule id of evidence that is a topic's key phrase: "topic.work". Such evidence never pages.
const TopicRule = "topic."

// Evidence says where in the plaintext a rule found what it found, as half-open ranges. It never holds the text.
type Evidence struct {
	Rule       string `json:"rule"`
	Start      int    `json:"start"`    // in bytes of UTF-8
	End        int    `json:"end"`      //
	UTF16Start int    `json:"start_16"` // in UTF-16 code units, as a browser counts
	UTF16End   int    `json:"end_16"`
}

// IsTopic says whether e is a topic's key phrase and not a finding.
func (e Evidence) IsTopic() bool { return strings.HasPrefix(e.Rule, TopicRule) }

// Assessment is all that a detector found in one message.
type Assessment struct {
	Level      Level
	HarmOthers bool // harm to somebody else
	Abuse      bool // a disclosure of abuse
	Distress   bool // acute distress
	Items      Items
	Scores     Scores
	// Hard are the categories that a hard rule forced: no probability of a policy holds them back, and no quiet rule holds back
	// self-harm from LevelIntent on.
	Hard Categories

	Sentiment float32
	Emotions  []string
	Topics    []string
	Language  string // ISO 639-1; "" is unknown
	Evidence  []Evidence

	// Alert: a human is told. Escalate: somebody looks closer, later; an alert always escalates.
	Alert, Escalate bool

	ModelVersion, RulesetVersion string
	PolicyVersion                int32
}
