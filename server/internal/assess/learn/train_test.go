package learn

import (
	"bytes"
	"os"
	"testing"

	"vigil/server/internal/assess"
	"vigil/server/internal/assess/corpus"
)

// What CI makes again of the corpus alone is what is committed, to the byte: the same seed and data give the same model on
// every machine. After a change of the corpus or of the features: `go tool task detect:train -- -fixture`.
func TestTrainingGivesTheCommittedBytes(t *testing.T) {
	t.Parallel()
	want, err := os.ReadFile("testdata/fixture.bin")
	if err != nil {
		t.Fatal(err)
	}
	trained := Fixture(corpus.Messages())
	got, err := trained.Model.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%d bytes, and other ones than the %d that are committed", len(got), len(want))
	}
	if _, err := assess.LoadModel(got); err != nil {
		t.Errorf("the model cannot be read: %v", err)
	}
}

func TestNothingThatIsHeldApartIsTrainedOn(t *testing.T) {
	t.Parallel()
	shared := &Shared{Risk: []Row{
		{Text: "tier C is never trained on", Source: "dailydialog++", Tier: TierC},
		{Text: "neither is share-alike", Source: "suicidewatch-sample", Tier: TierSA, Risk: 1},
	}}
	messages := corpus.Messages()
	held := map[string]bool{}
	for _, m := range messages {
		held[m.Text] = m.Held
	}
	for _, e := range gather(shared, messages) {
		if own, ok := held[e.text]; ok && own != e.held || !ok && !e.held {
			t.Fatalf("%s: held apart %v", e.source, e.held)
		}
	}
}

func TestALevelIsLabelledAsReachedOrNotOrUnknown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		message corpus.Message
		want    string // risk, then the levels
	}{
		"thoughts":  {corpus.Message{Category: "active", Risk: 1, Level: 2}, "1 110000"},
		"past":      {corpus.Message{Category: "past", Risk: unknown, Level: 1}, "? ?00000"},
		"ambiguous": {corpus.Message{Category: "ambiguous", Risk: unknown, Level: 1}, "? ??0000"},
		"ordinary":  {corpus.Message{Category: "ordinary"}, "0 000000"},
	} {
		e := ofMessage(&c.message)
		got := []byte{}
		for h := assess.HeadRisk; h <= assess.HeadLevel6; h++ {
			if h == assess.HeadLevel1 {
				got = append(got, ' ')
			}
			got = append(got, map[int8]byte{1: '1', 0: '0', unknown: '?'}[e.labels[h]])
		}
		if string(got) != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestLinearLearnsWhatASentenceInTheMiddleSays(t *testing.T) {
	t.Parallel()
	d := assess.NewWith(&assess.Model{})
	calm := "The bus was late and we talked about the weather for a while. "
	var all []example
	for i, text := range []string{"bravo tango", "kilo mike", "bravo mike tango", "kilo delta mike", "sierra bravo tango", "oscar kilo mike"} {
		for _, around := range []string{"", calm, calm + calm} {
			e := example{labels: unlabelled(), weight: 1, text: around + text + ". " + around}
			e.labels[assess.HeadRisk] = int8(1 - i%2)
			all = append(all, e)
		}
	}
	featurise(d, all)
	settings := Standard
	settings.Epochs = 20
	m := trainLinear(all, settings).quantise()
	m.Net = trainNet(all, settings).quantise()
	scorer := assess.NewWith(m)
	yes, no := scorer.LogitsOf(calm+"bravo tango. "+calm), scorer.LogitsOf(calm+"kilo mike. "+calm)
	if yes.Best[assess.HeadRisk] <= no.Best[assess.HeadRisk] {
		t.Errorf("risk %v, and %v without any", yes.Best[assess.HeadRisk], no.Best[assess.HeadRisk])
	}
}
