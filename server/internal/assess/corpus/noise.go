package corpus

import (
	"math/rand/v2"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// The chances of each kind of noise. They are the same for every category: noise must say nothing about the label.
const (
	chanceLower     = 0.30
	chanceUpper     = 0.03
	chanceNoMarks   = 0.12
	chanceNoEnd     = 0.35
	chanceNoQuotes  = 0.25 // don't → dont
	chanceNoAccents = 0.25
	chanceTypo      = 0.22
	chanceStretch   = 0.06
	chanceLeet      = 0.04
	chanceSpaced    = 0.02
	chanceOpener    = 0.14
	chanceCloser    = 0.14
	chanceTail      = 0.08
)

// noisy returns text as somebody else might have typed it, meaning the same.
func noisy(rng *rand.Rand, lang, category, text string) string {
	// Every die is thrown, used or not, so that one text's noise does not shift another's.
	dice := make([]float64, 13)
	for i := range dice {
		dice[i] = rng.Float64()
	}
	around := tails[lang]
	opener, closer, tail := pick(rng, around.openers), pick(rng, around.closers), pick(rng, emojiTails)
	words := strings.Fields(text)
	at, where := rng.IntN(len(words)+1), rng.IntN(1<<16)

	if at < len(words) {
		if dice[6] < chanceTypo {
			words[at] = misspell(words[at], where)
		} else if dice[7] < chanceStretch {
			words[at] = stretch(words[at], 1+where%3)
		} else if lang == "en" && dice[8] < chanceLeet {
			words[at] = leet.Replace(words[at])
		} else if lang == "en" && dice[9] < chanceSpaced {
			words[at] = spaced(words[at])
		}
		text = strings.Join(words, " ")
	}
	if dice[10] < chanceOpener {
		text = opener + text
	}
	if dice[11] < chanceCloser {
		text = joined(text, closer)
	}
	text = plainer(dice, text)
	if dice[12] < chanceTail && category != "sentiment" && category != "emoji" {
		text += " " + tail
	}
	return strings.Join(strings.Fields(text), " ")
}

// plainer leaves out what hurried people leave out: capitals, marks, accents.
func plainer(dice []float64, text string) string {
	switch {
	case dice[0] < chanceLower:
		text = strings.ToLower(text)
	case dice[1] < chanceUpper:
		text = strings.ToUpper(text)
	}
	switch {
	case dice[2] < chanceNoMarks:
		text = strings.Map(func(r rune) rune {
			if strings.ContainsRune(",;:.!", r) {
				return -1
			}
			return r
		}, text)
	case dice[3] < chanceNoEnd:
		text = strings.TrimRight(text, ".!。！। ")
	}
	if dice[4] < chanceNoQuotes {
		text = strings.NewReplacer("'", "", "’", "").Replace(text)
	}
	if dice[5] < chanceNoAccents {
		text = withoutAccents(text)
	}
	return text
}

func pick(rng *rand.Rand, from []string) string {
	if len(from) == 0 {
		return ""
	}
	return from[rng.IntN(len(from))]
}

// joined puts the closer behind text: a closer with a comma takes the place of the full stop.
func joined(text, closer string) string {
	if strings.HasPrefix(closer, ",") || strings.HasPrefix(closer, "，") || strings.HasPrefix(closer, "、") || strings.HasPrefix(closer, "،") {
		return strings.TrimRight(text, " .。") + closer
	}
	return text + " " + closer
}

const shortestMisspelt = 4

// alphabetic says whether letters may be moved about: not in scripts where a mark belongs to the letter before it, or
// where a character is a word.
func alphabetic(word string) bool {
	for _, r := range word {
		if !unicode.In(r, unicode.Latin, unicode.Cyrillic, unicode.Arabic) {
			return false
		}
	}
	return true
}

// misspell swaps, leaves out or doubles one letter inside the word. Its first and last letter stay.
func misspell(word string, where int) string {
	letters := []rune(word)
	if len(letters) < shortestMisspelt || !alphabetic(word) {
		return word
	}
	i := 1 + where%(len(letters)-2)
	switch where / 1024 % 3 {
	case 0:
		if i+1 < len(letters)-1 {
			letters[i], letters[i+1] = letters[i+1], letters[i]
		}
	case 1:
		letters = append(letters[:i], letters[i+1:]...)
	default:
		letters = append(letters[:i+1], letters[i:]...)
	}
	return string(letters)
}

// stretch repeats the last vowel: soooo.
func stretch(word string, times int) string {
	i := strings.LastIndexAny(word, "aeiouаеиоу")
	if i < 0 || !alphabetic(word) {
		return word
	}
	vowel := string([]rune(word[i:])[0])
	return word[:i] + strings.Repeat(vowel, times) + word[i:]
}

var leet = strings.NewReplacer("a", "4", "e", "3", "i", "1", "o", "0", "A", "4", "E", "3", "I", "1", "O", "0")

func spaced(word string) string {
	if len(word) < 3 || !alphabetic(word) {
		return word
	}
	return strings.Join(strings.Split(word, ""), " ")
}

// withoutAccents is what people type who have no key for them. Letters of which the mark is a part (ł, ı) too.
func withoutAccents(text string) string {
	plain := true
	for _, r := range text {
		if r < unicode.MaxLatin1 {
			plain = plain && r < utf8.RuneSelf
			continue
		}
		plain = false
		if unicode.In(r, unicode.Devanagari, unicode.Hangul, unicode.Hiragana, unicode.Katakana, unicode.Arabic, unicode.Cyrillic) {
			return text
		}
	}
	if plain {
		return text
	}
	var b strings.Builder
	for _, r := range norm.NFD.String(text) {
		if unicode.Is(unicode.Mn, r) {
			continue
		}
		if instead, joined := unmarked[r]; joined {
			b.WriteString(instead)
		} else {
			b.WriteRune(r)
		}
	}
	return norm.NFC.String(b.String())
}

var unmarked = map[rune]string{'ł': "l", 'Ł': "L", 'ı': "i", 'ß': "ss", 'ø': "o", 'œ': "oe"}
