package suggest

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The length of a draft, in characters.
const (
	minDraft = 15
	maxDraft = 600
)

var (
	// markup is what a plain message does not have: headings, lists, emphasis, code, links, tags, JSON.
	markup = regexp.MustCompile("(?m)^\\s*(#|[-*•] |\\d+[.)] |>|\\{|\\[)|\\*\\*|__|`|\\]\\(|<[a-zA-Z/]|https?://|www\\.")
	// forbidden is what a draft never gives: a diagnosis, advice on medication, a machine's talk of itself, somebody's number.
	forbidden = regexp.MustCompile(`(?i)\b(diagnos\w*|(you|that) (have|has|suffer from|is|are) (clinical(ly)? |major )?(depress(ion|ive disorder)|bipolar|borderline|schizo\w*|psychosis|adhd|ptsd)|\d+ ?(mg|milligrams?|mcg)|dos(e|es|age|ages)|prescri\w*|antidepressants?|ssris?|benzodiazepines?|(start|stop|increase|reduce|change|take|taking) (your |the |any |more |less )?(medication|medicines?|meds|pills)|as an ai|language model|i('m| am) an? (ai|assistant|chatbot)|system prompt)\b|\+?\d[\d ()-]{6,}\d`)
	// labelled is a speaker's name before the text.
	labelled = regexp.MustCompile(`(?i)^(therapist|clinician|draft|reply|response|assistant)\s*:\s*`)
	spaces   = regexp.MustCompile(`\s+`)
)

// clean makes a model's answer a draft, or says that it is none. What is wrong with it is not told: it would quote it.
func clean(answer string) (draft string, ok bool) {
	if !utf8.ValidString(answer) || markup.MatchString(answer) {
		return "", false
	}
	draft = spaces.ReplaceAllString(strings.TrimSpace(answer), " ")
	draft = labelled.ReplaceAllString(unquoted(draft), "")
	draft = unquoted(draft)
	length := utf8.RuneCountInString(draft)
	if length < minDraft || length > maxDraft || forbidden.MatchString(draft) {
		return "", false
	}
	strange := func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) && r != '\u200d' || r == utf8.RuneError
	}
	if strings.ContainsFunc(draft, strange) || !strings.ContainsFunc(draft, unicode.IsLetter) {
		return "", false
	}
	return draft, true
}

// unquoted takes quotation marks off that stand around the whole.
func unquoted(text string) string {
	for open, closing := range map[string]string{`"`: `"`, `“`: `”`, `„`: `“`, `«`: `»`, `'`: `'`} {
		inner, found := strings.CutPrefix(text, open)
		if !found {
			continue
		}
		if inner, found = strings.CutSuffix(inner, closing); found && !strings.Contains(inner, open) {
			return strings.TrimSpace(inner)
		}
	}
	return text
}
