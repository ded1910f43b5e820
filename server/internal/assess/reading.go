package assess

import "vigil/server/internal/triage"

// clearSentiment is how far from zero a sentiment is more than neutral.
const clearSentiment = 0.25

// SentimentLabel puts a's sentiment into a word: positive, negative, ambiguous or neutral.
func SentimentLabel(a triage.Assessment) string {
	switch {
	case a.Sentiment >= clearSentiment:
		return "positive"
	case a.Sentiment <= -clearSentiment:
		return "negative"
	case len(a.Emotions) == 0:
		return "neutral"
	}
	switch a.Emotions[0] {
	case "confusion", "curiosity", "realization", "surprise":
		return "ambiguous"
	}
	return "neutral"
}

// What a session's number is made of: the message that says most, and half as much the next.
const (
	levelShare  = .3
	secondShare = .5
)

// SessionRisk puts what the assessments of a session's messages say of its risk into one number from 0 to 1, for ranking
// sessions; it is no probability. It never falls when a message is added.
func SessionRisk(messages []triage.Assessment) float32 {
	first, second := float32(0), float32(0)
	for _, a := range messages {
		level := float32(a.Level) / float32(triage.LevelMax)
		said := float32((1-levelShare)*a.Scores.Risk) + float32(levelShare*level)
		switch {
		case said > first:
			first, second = said, first
		case said > second:
			second = said
		}
	}
	return float32(first+float32(secondShare*second)) / (1 + secondShare)
}
