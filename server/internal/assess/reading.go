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

// SessionRisk puts what the assessments of a session's messages say of its risk into one number from 0 to 1, for ranking
// sessions. It never falls when a message is added.
func SessionRisk(messages []triage.Assessment) float32 {
	highest := float32(0)
	for _, a := range messages {
		level := float32(a.Level) / float32(triage.LevelMax)
		highest = max(highest, (a.Scores.Risk+level)/2)
	}
	return highest
}
