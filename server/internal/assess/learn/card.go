package learn

import (
	"fmt"
	"slices"
	"strings"

	"vigil/server/internal/assess"
)

var headNames = [heads]string{
	"risk", "level ≥ 1", "level ≥ 2", "level ≥ 3", "level ≥ 4", "level ≥ 5", "level ≥ 6", "harm to others", "abuse", "distress",
}

// Trained is a model with what its card needs to know.
type Trained struct {
	Model    *assess.Model
	Settings Settings
	Texts    map[string]int // by source: trained on
	held     []observed
}

// sources are the licences of what was trained on; what is not here was not.
var sources = [][3]string{
	{"av9ash/llm_cssrs_code (30 % part)", "CC BY 4.0", "Reddit posts with a human's C-SSRS level"},
	{"T-Lind/health-backend@76bde039 (Reddit C-SSRS-500, Zenodo 2667859)", "CC BY 4.0", "posts with explicit wording; noisy labels"},
	{"monologg/GoEmotions-pytorch@b75f9d3a (Google's GoEmotions, train and dev)", "Apache-2.0 / CC BY 4.0", "forum remarks: ordinary talk, sentiment, emotions"},
	{"t-davidson/hate-speech-and-offensive-language@cb50f7e9", "MIT", "hateful and offensive remarks, as no risk"},
	{"nbertagnolli/counsel-chat@e202e19c", "MIT", "questions to counsellors: ordinary distress, topics"},
	{"hand-written traps and generated templates of the shared data", "CC0", "traps"},
	{"corpus/ of this repository", "CC0", "invented messages in many languages, with contrast pairs"},
}

// Card is the model's card, in Markdown.
func (t *Trained) Card() string {
	var b strings.Builder
	b.WriteString(cardHead)
	fmt.Fprintf(&b, "Settings: %+v. Heads: %d. Texts trained on, by source:\n\n| source | texts |\n|---|---|\n", t.Settings, heads)
	names := make([]string, 0, len(t.Texts))
	for name := range t.Texts {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(&b, "| %s | %d |\n", name, t.Texts[name])
	}
	b.WriteString("\n## Data and licences\nOnly tier A of the shared data was trained on. Its rows are not in this repository.\n\n| source | licence | what for |\n|---|---|---|\n")
	for _, s := range sources {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", s[0], s[1], s[2])
	}
	b.WriteString("\nThe files, by SHA-256:\n\n")
	for _, f := range Files() {
		fmt.Fprintf(&b, "- `%s` %s\n", f[0], f[1])
	}
	b.WriteString("\n## Thresholds, and what they let through\nOn texts that were not trained on. A rule for the unmistakable may raise what the model does not.\n\n")
	t.thresholds(&b)
	b.WriteString(cardTail)
	return b.String()
}

func (t *Trained) thresholds(b *strings.Builder) {
	shown := []string{"dailydialog++", "esconv-dev", "goemotions-train", "counselchat-q", "davidson"}
	fmt.Fprintf(b, "| head | said from | AUPRC, corpus | found, corpus | flagged, corpus | %s |\n|---|---|---|---|---|%s\n",
		strings.Join(shown, " | "), strings.Repeat("---|", len(shown)))
	for h := range heads {
		p := &t.Model.Head[h]
		var scores []float64
		var labels []bool
		said, of := map[string]float64{}, map[string]float64{}
		for i := range t.held {
			r := &t.held[i]
			q := p.Probability(r.logits.Whole[h], r.logits.Best[h])
			key := r.source
			if family(r.source) == "corpus" {
				if r.labels[h] == unknown {
					continue
				}
				scores, labels = append(scores, float64(q)), append(labels, r.labels[h] == 1)
				key = "corpus0"
				if r.labels[h] == 1 {
					key = "corpus1"
				}
			}
			of[key]++
			if q >= p.Said {
				said[key]++
			}
		}
		fmt.Fprintf(b, "| %s | %.3f | %.3f | %.3f | %.3f |", headNames[h], p.Said, AUPRC(scores, labels), said["corpus1"]/max(of["corpus1"], 1), said["corpus0"]/max(of["corpus0"], 1))
		for _, name := range shown {
			fmt.Fprintf(b, " %.4f |", said[name]/max(of[name], 1))
		}
		b.WriteString("\n")
	}
}

const cardHead = `# The detector's model

Not clinically validated. Written by ` + "`go tool task detect:train`" + `; what it reaches on everything that was held apart is printed by
` + "`go tool task detect:eval`" + `, and held by the floors in learn/floors.json.

A linear model and a small net (an embedding bag with one hidden layer), the mean of both, over hashed features (words, pairs and triples of words, runs of letters; what the words mean, in whose mouth, when, and
whether denied), with weights of one byte. A message counts as a whole and by the sentence, or two in a row, that has most. Each head is calibrated on texts that were not
trained on (of tier A and the corpus), weighted so that half of them say yes: a probability is that of such a set, not of ordinary talk, where risk is rare.

`

const cardTail = `
## Limits
- The labels of public forums are weak, and those of the corpus are its writers'. Nobody has judged real sessions with it.
- A text over 16 KiB is read at its two ends only.
- Languages other than English were learnt from a few hundred invented messages each. What a language's lexicon does not have is hardly found.
- Plans and farewells that name nothing are found where they resemble those of the corpus.
- The plain sentences of testdata/sentences.txt are tuned on: what came out wrong was mended, by rules. They say little of others. A
  reader who tried to hide crises from it (a past, an idiom or a denial elsewhere in the sentence) hid some forty; they are among them now.
- Irony, private jokes between two people, and what a picture or a link says are not understood.
- Attached files, and their names, are not read at all: nothing says of a message that what matters stood in its file.
- It finds; it does not say that nothing is there. A level of 0 is "nothing was found", never "no risk".
`
