package assess

import "unicode"

// plain is what folding makes of each ASCII byte: a lower-case letter, a digit, or 0.
var plain = func() (table [128]byte) {
	for c := byte('a'); c <= 'z'; c++ {
		table[c], table[c-'a'+'A'] = c, c
	}
	for c := byte('0'); c <= '9'; c++ {
		table[c] = c
	}
	return table
}()

// fold returns a letter as the lexicon has it: lower case, without accents, plain where it only looks special. 0: leave
// it out (a combining accent).
func fold(char rune) rune {
	for i := range folds {
		run := &folds[i]
		if char < run.first {
			break
		}
		if at := int(char - run.first); at < len(run.letters) && run.letters[at] != ' ' {
			return rune(run.letters[at])
		}
	}
	switch {
	case char >= 0x300 && char <= 0x36F, char >= 0x64B && char <= 0x655, char == 0x670, char == 0x640, char == 0x93C:
		return 0
	case char == 'أ', char == 'إ', char == 'آ', char == 'ٱ':
		return 'ا'
	case char == 'ى', char == 'ی':
		return 'ي'
	case char == 'ة':
		return 'ه'
	case char == 'ک':
		return 'ك'
	case char == 'ё', char == 'Ё':
		return 'е'
	}
	return unicode.ToLower(char)
}

// script is a set of writing systems.
type script uint16

const (
	latin script = 1 << iota
	cyrillic
	ukrainian // letters that Russian has not
	greek
	arabic
	devanagari
	han
	kana
	hangul
	otherScript
	digits
	pictures
)

// scriptOf says how char is written; char is folded.
func scriptOf(char rune) script {
	switch {
	case char >= 'a' && char <= 'z', char >= 0xC0 && char <= 0x24F:
		return latin
	case char >= '0' && char <= '9':
		return digits
	case char == 'і', char == 'ї', char == 'є', char == 'ґ':
		return cyrillic | ukrainian
	case char >= 0x400 && char <= 0x52F:
		return cyrillic
	case char >= 0x370 && char <= 0x3FF:
		return greek
	case char >= 0x600 && char <= 0x77F:
		return arabic
	case char >= 0x900 && char <= 0x97F:
		return devanagari
	case char >= 0x4E00 && char <= 0x9FFF, char >= 0x3400 && char <= 0x4DBF:
		return han
	case char >= 0x3040 && char <= 0x30FF, char >= 0x31F0 && char <= 0x31FF:
		return kana
	case char >= 0xAC00 && char <= 0xD7AF, char >= 0x1100 && char <= 0x11FF:
		return hangul
	}
	return otherScript
}

// unspaced says whether words are written without spaces between, so that each character is a token.
func unspaced(char rune) bool {
	return char >= 0x3040 && char <= 0x30FF || char >= 0x3400 && char <= 0x4DBF || char >= 0x4E00 && char <= 0x9FFF ||
		char >= 0x0E00 && char <= 0x0EFF || char >= 0x1000 && char <= 0x109F || char >= 0x1780 && char <= 0x17FF
}

func isLetter(char rune) bool {
	if char < 128 {
		return plain[char] != 0
	}
	return unicode.IsLetter(char) || unicode.IsDigit(char) || unicode.IsMark(char) && char != 0xFE0F && char != 0x20E3 ||
		char >= 0x24B6 && char <= 0x24E9 || char >= 0x1F130 && char <= 0x1F189
}

func isApostrophe(char rune) bool {
	return char == '\'' || char == '’' || char == '`' || char == 'ʼ' || char == '´' || char == '‘'
}

// isInvisible: soft hyphen, zero-width, bidirectional and variation controls, skin tones: they hide a word from a reader of
// bytes only.
func isInvisible(char rune) bool {
	return char == 0xAD || char >= 0x200B && char <= 0x200F || char >= 0x202A && char <= 0x202E ||
		char >= 0x2060 && char <= 0x2069 || char == 0xFEFF || char >= 0xFE00 && char <= 0xFE0F || char == 0x20E3 ||
		char >= 0x1F3FB && char <= 0x1F3FF || char >= 0xE0000 && char <= 0xE007F
}

func isPicture(char rune) bool {
	return char >= 0x1F000 && char <= 0x1FAFF || char >= 0x2600 && char <= 0x27BF || char >= 0x2B00 && char <= 0x2BFF ||
		char >= 0x231A && char <= 0x23FF
}

// twins are Cyrillic and Greek letters, in order, and the Latin letters they pass for.
const (
	lookAlikes = "асеорхуіјѕһԁԛԝвкмнтзбαβεικνορτυχωѵӏ"
	looksLike  = "aceopxyijshdqwbkmht3babeikvoptuxwvl"
)

// twin returns the Latin letter that char looks like, or char.
func twin(char rune) rune {
	at := 0
	for _, c := range lookAlikes {
		if c == char {
			return rune(looksLike[at])
		}
		at++
	}
	return char
}
