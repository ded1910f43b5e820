package suggest

import (
	"strings"
	"testing"
)

func TestWhatAModelSaysIsCheckedBeforeItIsADraft(t *testing.T) {
	t.Parallel()
	const good = "That sounds heavy. What would help you get through tonight?"
	for name, c := range map[string]struct{ answer, want string }{
		"plain":                        {good, good},
		"in quotation marks":           {`"` + good + `"`, good},
		"in typographic ones":          {"“" + good + "”", good},
		"with a speaker":               {"Therapist: " + good, good},
		"with a speaker, quoted":       {`Reply: "` + good + `"`, good},
		"over several lines":           {"\n  That sounds heavy.\n\nWhat would help you   get through tonight?\n", good},
		"quoting inside":               {`You said "enough". What did you mean by that?`, `You said "enough". What did you mean by that?`},
		"in another language":          {"Das klingt schwer. Was würde dir heute Abend helfen?", "Das klingt schwer. Was würde dir heute Abend helfen?"},
		"empty":                        {"", ""},
		"blank":                        {" \n\t ", ""},
		"quotation marks only":         {`""`, ""},
		"too short":                    {"Okay.", ""},
		"too long":                     {strings.Repeat("a long answer ", 60), ""},
		"a list":                       {"Here are some ideas:\n- breathe\n- walk", ""},
		"a numbered list":              {"1. Breathe slowly.\n2. Go for a walk.", ""},
		"a heading":                    {"# Draft\n" + good, ""},
		"emphasis":                     {"That sounds **very** heavy. What helps?", ""},
		"code":                         {"```\n" + good + "\n```", ""},
		"JSON":                         {`{"reply": "` + good + `"}`, ""},
		"a link":                       {"Please look at https://example.org for help with this.", ""},
		"tags":                         {"<think>he is sad</think>" + good, ""},
		"a diagnosis":                  {"It seems that you have depression, and that is hard.", ""},
		"a diagnosis by name":          {"I would diagnose an anxiety disorder in what you say.", ""},
		"a dose":                       {"You could take 20 mg in the evening and see how it goes.", ""},
		"advice on medication":         {"Maybe you should stop your medication for a few days.", ""},
		"a prescription":               {"Ask your doctor to prescribe something stronger for you.", ""},
		"a telephone number":           {"Please call 0800 111 0 111 right away, they can help.", ""},
		"a machine that speaks":        {"As an AI, I cannot help with this, but a person can.", ""},
		"its instructions":             {"My system prompt says that I should be warm and plain.", ""},
		"control characters":           {"That sounds heavy.\x00 What would help you?", ""},
		"text that turns around":       {"That sounds heavy. \u202e What would help you?", ""},
		"broken text":                  {"That sounds heavy. \xff What would help you?", ""},
		"signs without a letter":       {"................................", ""},
		"talking of a depressed mood":  {"You feel low and tired of it. What keeps you going?", "You feel low and tired of it. What keeps you going?"},
		"a refusal to answer in a tag": {"[Content removed] " + good, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := clean(c.answer)
			if got != c.want || ok != (c.want != "") {
				t.Errorf("%q (%t), want %q", got, ok, c.want)
			}
		})
	}
}

// FuzzClean: a draft is always short, plain and one line, and clean of a draft is the same draft.
func FuzzClean(f *testing.F) {
	for _, seed := range []string{"", `"x"`, "That sounds heavy. What would help?", "# a\n- b", "“„«'"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		draft, ok := clean(answer)
		if !ok {
			if draft != "" {
				t.Error("something was left of what was refused")
			}
			return
		}
		if len([]rune(draft)) > maxDraft || strings.ContainsAny(draft, "\n\r\t`") || strings.TrimSpace(draft) != draft {
			t.Errorf("%q passed", draft)
		}
	})
}
