package assess

import (
	"encoding/binary"
	"math"
	"strings"

	"vigil/server/internal/triage"
)

// Names of what a message may be coloured by, in the order of the model's outputs.
const (
	sentimentNames = "positive negative neutral ambiguous"
	emotionNames   = "admiration amusement anger annoyance approval caring confusion curiosity desire disappointment disapproval " +
		"disgust embarrassment excitement fear gratitude grief joy love nervousness optimism pride realization relief remorse " +
		"sadness surprise neutral"
	topicNames = "depression intimacy relationships anxiety family-conflict parenting self-esteem relationship-dissolution " +
		"anger-management trauma behavioral-change marriage lgbtq domestic-violence workplace-relationships " +
		"social-relationships grief-and-loss substance-abuse sleep-improvement professional-ethics eating-disorders " +
		"legal-regulatory spirituality stress human-sexuality children-adolescents addiction military-issues " +
		"counseling-fundamentals work school money health"
)

var (
	sentimentList = strings.Fields(sentimentNames)
	emotionList   = strings.Fields(emotionNames)
	topicList     = strings.Fields(topicNames)
)

// Sentiments are GoEmotions' groups, in the order of the model's outputs. Nobody may change what this and the next two return.
func Sentiments() []string { return sentimentList }

// Emotions are those of GoEmotions.
func Emotions() []string { return emotionList }

// TopicNames are those of CounselChat, and four of ours.
func TopicNames() []string { return topicList }

// Tint is the part of a model that says what a message feels and is about: emotions by its words, topics by their stems.
type Tint struct{ Emotion, Topic Shade }

// Shade is a linear model of several outputs over hashed features of a whole message.
type Shade struct {
	Bits  uint8
	Scale float32
	Bias  []float32 // an output each
	Table []int8    // rows of len(Bias)
}

const (
	maxOutputs = 40
	shadeDamp  = 8
)

func (t *Tint) shadesOf() [2]*Shade { return [2]*Shade{&t.Emotion, &t.Topic} }

func (t *Tint) append(b []byte) []byte {
	for _, s := range t.shadesOf() {
		b = append(b, s.Bits, byte(len(s.Bias)))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(s.Scale))
		for _, f := range s.Bias {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
		}
		b = appendInts(b, s.Table)
	}
	return b
}

func (t *Tint) read(data []byte) bool {
	for _, s := range t.shadesOf() {
		if len(data) < 6 {
			return false
		}
		n := int(data[1])
		s.Bits, s.Scale, s.Bias = data[0], math.Float32frombits(binary.LittleEndian.Uint32(data[2:])), make([]float32, n)
		data = data[6:]
		if n > maxOutputs || s.Bits > 20 || len(data) < 4*n+n<<s.Bits {
			return false
		}
		for i := range s.Bias {
			s.Bias[i] = math.Float32frombits(binary.LittleEndian.Uint32(data))
			data = data[4:]
		}
		s.Table, data = ints(data[:n<<s.Bits]), data[n<<s.Bits:]
		if !withinWeights(s.Table) {
			return false
		}
	}
	return len(data) == 0
}

// ShadeDamped returns what a feature counts among n.
func ShadeDamped(n int) float32 { return float32(1 / math.Sqrt(float64(n+shadeDamp))) }

// logits fills out with the outputs for ids, of the packed table of s.
func (s *Shade) logits(packed *wide, ids []uint32, out []float32) {
	var sums [maxOutputs]int32
	packed.sum(ids, &sums)
	damp := float32(ShadeDamped(len(ids)) * s.Scale)
	for k, bias := range s.Bias {
		out[k] = float32(float32(sums[k])*damp) + bias
	}
}

// Softmax turns logits into probabilities.
func Softmax(x []float32) {
	most, sum := float32(-1<<10), float32(0)
	for _, v := range x {
		most = max(most, v)
	}
	for i, v := range x {
		x[i] = float32(exp(max(float64(v-most), -30)))
		sum += x[i]
	}
	for i := range x {
		x[i] /= sum
	}
}

// Shades are probabilities, in the order of Sentiments, Emotions and TopicNames.
type Shades struct {
	Sentiment [4]float32
	Emotions  [28]float32
	Topics    [33]float32
}

func (t *Tint) shades(s *scratch, packed *tables, out *Shades) {
	if len(t.Emotion.Bias) != len(out.Emotions) || len(t.Topic.Bias) != len(out.Topics) {
		return
	}
	t.Emotion.logits(&packed.emotions, s.words, out.Emotions[:])
	for i, x := range out.Emotions {
		out.Emotions[i] = Expit(x)
	}
	t.Topic.logits(&packed.topics, s.stems, out.Topics[:])
	Softmax(out.Topics[:])
}

const (
	decided      = clearSentiment
	leastEmotion = .3
	leastTopic   = .2 // less is next to nothing among so many, and would be shown all the same
	wordWeight   = .1 // of a word that names a topic, beside the probability of what the message resembles
	knownShare   = 3  // one word in so many is in the lexicon, or the message is no talk
	topicTokens  = 12 // a shorter message is about what its words name, not what it resembles
	maxColours   = 3
)

// colour sets what a says of sentiment, emotions and topics.
func (f *finding) colour(a *triage.Assessment) {
	shades := f.shades
	sentiment := top(shades.Sentiment[:], nil)
	balance := shades.Sentiment[0] - shades.Sentiment[1]
	switch sentiment {
	case 0:
		a.Sentiment = max(balance, decided)
	case 1:
		a.Sentiment = min(balance, -decided)
	default:
		a.Sentiment = max(min(balance, decided-.01), .01-decided)
	}
	if len(f.tokens) == 0 {
		a.Sentiment = 0
		return
	}
	feel(a, shades, sentiment == 3)
	f.topics(a, shades)
}

// feel names the emotions; what is ambiguous begins with one that is, and nothing else does.
func feel(a *triage.Assessment, shades *Shades, ambiguous bool) {
	var taken [maxColours]int
	n := 0
	for n < maxColours {
		best, most := -1, float32(leastEmotion)
		for i, p := range shades.Emotions[:len(shades.Emotions)-1] {
			if unclear(emotionList[i]) != (ambiguous && n == 0) || isTaken(taken[:n], i) {
				continue
			}
			if p > most || ambiguous && n == 0 && best < 0 {
				best, most = i, p
			}
		}
		if best < 0 {
			break
		}
		taken[n] = best
		n++
		if a.Emotions == nil {
			a.Emotions = make([]string, 0, maxColours)
		}
		a.Emotions = append(a.Emotions, emotionList[best])
	}
}

// unclear says whether an emotion makes a sentiment ambiguous, as SentimentLabel has it.
func unclear(emotion string) bool {
	switch emotion {
	case "confusion", "curiosity", "realization", "surprise":
		return true
	}
	return false
}

func isTaken(taken []int, i int) bool {
	for _, t := range taken {
		if t == i {
			return true
		}
	}
	return false
}

// top returns the index of the highest value that is not taken, -1: none.
func top(values []float32, taken []int) int {
	best, most := -1, float32(0)
	for i, v := range values {
		if (best < 0 || v > most) && !isTaken(taken, i) {
			best, most = i, v
		}
	}
	return best
}

// topics names what a message is about: by its words where they name it, and by what it resembles where it is long enough
// to resemble anything.
func (f *finding) topics(a *triage.Assessment, shades *Shades) {
	var named [len(shades.Topics)]float32
	some, known := false, 0
	for i := range f.tokens {
		if f.tokens[i].word != 0 {
			known++
		}
		if topic := f.lexicon.topicOf(f.tokens[i].word); topic != 0 {
			named[topic-1]++
			some = true
			if named[topic-1] == 1 {
				f.show(topicRules[topic-1], int32(i), int32(i))
			}
		}
	}
	if len(f.tokens) >= topicTokens && known*knownShare >= len(f.tokens) {
		for i, p := range shades.Topics {
			if named[i] > 0 || p >= leastTopic {
				named[i] = float32(named[i]*wordWeight) + p
			}
		}
	} else if !some {
		return
	}
	var taken [maxColours]int
	for n := range taken {
		best := top(named[:], taken[:n])
		if best < 0 || named[best] == 0 {
			return
		}
		taken[n] = best
		if a.Topics == nil {
			a.Topics = make([]string, 0, maxColours)
		}
		a.Topics = append(a.Topics, topicList[best])
	}
}
