package assess

import (
	"strings"
	"testing"
	"unicode/utf16"
)

// wordsOf is what is left of text's words once nothing hides them.
func wordsOf(text string) string {
	var s scratch
	s.read(compiled(), text)
	var words []string
	for _, t := range s.tokens {
		if t.from < t.to {
			words = append(words, string(s.folded[t.from:t.to]))
		}
	}
	return strings.Join(words, " ")
}

func TestNothingHidesAWord(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"I Want To DIE": "i want to die",
		"don't, DON’T":  "dont dont",
		"ｋｉｌｌ ｍｙｓｅｌｆ":   "kill myself",
		"𝓴𝓲𝓵𝓵 𝕞𝕪𝕤𝕖𝕝𝕗 ⓚⓘⓛⓛ":                "kill myself kill",
		"k\u200bill my\u00adse\u2060lf":   "kill myself",
		"\u202ekill\u202c":                "kill",
		"kіll mysеlf":                     "kill myself", // Cyrillic і and е
		"su1c1de, k!ll, $uicide, s*icide": "suicide kill suicide suicide",
		"mys3lf d1e":                      "myself die",
		"k i l l m y s e l f":             "kill myself",
		"s.u.i.c.i.d.e":                   "suicide",
		"d-i-e":                           "die",
		"diiiiie sooooo killllll":         "die so kill",
		"myslef suicdie klil thnikng":     "myself suicide kill thnikng",
		"Ünïcödé naïve señor":             "unicode naive senor",
		"j'ai l'envie d'en finir":         "j ai l envie d en finir",
		"mp3 b4 2nd 747":                  "mp3 b4 2nd 747",
		"well!great":                      "well great",
		"a b c":                           "a b c",
		"我想死":                             "我 想 死",
		"死にたい":                            "死 に た い",
		"💀💀💀💀 😀":                          "💀 💀 😀",
		":( ok :-)":                       ":( ok :)",
		"straße":                          "strasse",
		"اَلمَوت":                         "الموت",
		"":                                "",
		"\xff\xfe":                        "",
	} {
		if got := wordsOf(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestTokensSayWhereTheyStand(t *testing.T) {
	t.Parallel()
	text := "😀 né k!ll — s u i c i d e \U0001D424\U0001D422\U0001D425\U0001D425 终 \xff end"
	units := utf16.Encode([]rune(text))
	var s scratch
	s.read(compiled(), text)
	var got []string
	for _, token := range s.tokens {
		if token.from == token.to {
			continue
		}
		bytes, wide := text[token.start:token.end], string(utf16.Decode(units[token.start16:token.end16]))
		if bytes != wide {
			t.Errorf("bytes say %q, UTF-16 says %q", bytes, wide)
		}
		got = append(got, bytes)
	}
	if want := "😀|né|k!ll|s u i c i d e|\U0001D424\U0001D422\U0001D425\U0001D425|终|end"; strings.Join(got, "|") != want {
		t.Errorf("%q, want %q", strings.Join(got, "|"), want)
	}
}

func TestALongTextIsReadAtBothEnds(t *testing.T) {
	t.Parallel()
	text := "first 😀 " + strings.Repeat("middle 😀 ", 1<<15) + "lást"
	var s scratch
	s.read(compiled(), text)
	last := s.tokens[len(s.tokens)-1]
	if n := len(s.tokens); n > 2*maxHalf {
		t.Errorf("%d words", n)
	}
	if text[last.start:last.end] != "lást" || int(last.end16) != len(utf16.Encode([]rune(text))) {
		t.Errorf("the last word is %q, and ends at %d", text[last.start:last.end], last.end16)
	}
}

func TestSentencesAreToldApart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]int{ // sentences, questions among them
		"One. Two! Three? Four\nfive": {5, 1},
		"really?!":                    {1, 1},
		"version 3.5 is s.u.i out":    {1, 0},
		"what。是？":                     {2, 1},
		"...":                         {0, 0},
	} {
		var s scratch
		s.read(compiled(), text)
		got := [2]int{len(s.sentences), 0}
		for _, one := range s.sentences {
			if one.question {
				got[1]++
			}
		}
		if got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
