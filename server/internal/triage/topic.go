package triage

import (
	"cmp"
	"slices"
)

const (
	topicDecay       = 0.9  // of a session's topics with each message: one spoken of ten messages ago counts a third
	leastTopicWeight = 0.05 // a lighter topic is forgotten
	maxSessionTopics = 12
)

// TopicWeight is how much a session has been about a topic of late.
type TopicWeight struct {
	Topic  string  `json:"topic"`
	Weight float32 `json:"weight"`
}

// SessionTopics are what a session has been about of late, the heaviest first: a decayed sum over its messages.
type SessionTopics []TopicWeight

// After returns s after a message that is about topics. s is not changed.
func (s SessionTopics) After(topics []string) SessionTopics {
	if len(s)+len(topics) == 0 {
		return nil
	}
	after := make(SessionTopics, len(s), len(s)+len(topics))
	for i, t := range s {
		after[i] = TopicWeight{Topic: t.Topic, Weight: float32(t.Weight * topicDecay)}
	}
	for i, topic := range topics {
		if slices.Contains(topics[:i], topic) {
			continue
		}
		at := slices.IndexFunc(after, func(t TopicWeight) bool { return t.Topic == topic })
		if at < 0 {
			at, after = len(after), append(after, TopicWeight{Topic: topic})
		}
		after[at].Weight++
	}
	slices.SortFunc(after, func(x, y TopicWeight) int {
		return cmp.Or(cmp.Compare(y.Weight, x.Weight), cmp.Compare(x.Topic, y.Topic))
	})
	for len(after) > maxSessionTopics || len(after) > 0 && !(after[len(after)-1].Weight >= leastTopicWeight) {
		after = after[:len(after)-1]
	}
	return after
}
