package assess

// stops are the most frequent words of languages in Latin letters: with the lexicons, they tell them apart.
var stops = map[string]string{
	"en": "the and is to of in it that for you with on this have be are was but at as so just do all my me we he she they what if can will there get out up about like would one time know how from or an by your his her had been has their them now then when than who which some more could did its after before because really good go going been much very only also into over even make made still am were",
	"es": "el los las que de y en un una por con para es se lo como mas pero sus le ya o este si porque esta entre cuando muy sin sobre tambien me hasta hay donde quien desde todo nos durante estoy estaba era soy tengo tiene hace ser ha han del al yo mi he eso esto",
	"pt": "o os as que de e em um uma por com para eu nao se mais mas foi ele ela seu sua ou quando muito nos ja tambem so pelo pela ate isso entre sem mesmo aos seus quem nas me esse voce essa num nem suas meu minha tem estou estava tenho fazer dia ta pra vou ser do da dos das no na ao isto",
	"fr": "le les des est et je tu il elle nous vous que qui dans un une pour pas ne sur se ce plus par avec tout faire son sa ses mais on comme ou si leur y dire elle deja cette aussi suis ai as au du en ca mon ma mes tres jai cest moi quand meme bien etre avoir fait rien jamais la de me",
	"it": "il lo gli le di che e un una in per non con sono ho mi si ma come anche piu da al del della dei delle nel nella alla questo questa quando molto tutto perche cosa sei ha ci ne io era stato stata fare adesso ancora mio mia sto su se la mie miei degli",
	"de": "der die das und ist ich nicht ein eine zu den mit sich des auf dem es im fur wenn er sie wir mein meine mich mir hat habe war bin aber auch nur noch so wie was von bei nach wird werden kann dass oder mal schon immer an am aus einen einem einer ihr uns man sehr heute hab gibt dann da um",
	"nl": "de het een en ik is niet van dat te in op met voor er je zijn maar om dit aan heb ook als mijn me wat nog bij of zo ze hij wel naar kan al dan haar hem geen meer toch gewoon weer was had ben heeft door over uit we wordt doen gaat altijd mij",
	"pl": "nie i w na sie jest to z ze do jak ja mam co a o po ale za tak od czy juz tylko moj moja mnie mi ten ta przez dla jestem bo by kiedy bardzo tym byl byla moze jeszcze wszystko sa bylo tego ktory teraz dzis chce mojej moje ich jej go nic",
	"ro": "si de la in nu un o cu este sa eu pe ca mai din care ce am imi ma te fost pentru dar sunt era mea meu ne sau cand foarte asta doar acum ai are se le ii fi fara dupa mi mie fac toate tot cum azi a al ale",
	"tr": "bir ve bu da de ne icin ben cok ama gibi var yok daha mi mu o en sonra kadar her sey benim beni bana olarak degil ile ki ya artik hic simdi bugun sen diye olan oldu kendimi kendime seni biri zaman icinde nasil neden biraz yine iyi",
	"id": "yang dan di ini itu aku saya tidak dengan untuk dari dia ke ada akan bisa kamu sudah juga mau ga gak nggak tapi karena lagi sama buat kalau apa orang hari udah banget jadi semua lebih kita mereka pada adalah hanya belum harus masih sangat saja nya yg",
	"hi": "hai main mujhe nahi nahin ka ki ke ko se mera meri mere hoon hun ho tha thi kya aur par yeh ye woh wo mein bhi toh to hi kar raha rahi raho kuch ab sab bahut koi jo apne hota hoti liye karna gaya tum aap unki usko mai yaar",
}

// English is the first language; what is in no language counts as it.
const english = 0

// tongues are the languages a message seems to be in.
type tongues struct {
	first, second int8 // indices into lexicon.tongues; second -1: none
	sure          bool
}

const (
	fullVote    = 12 // a word that only one language has
	sureVotes   = 3 * fullVote / 2
	secondVotes = 2 * fullVote
)

// tongueOf says which language tokens are in, by their letters and their words.
func (l *lexicon) tongueOf(tokens []token) tongues {
	var votes [maxTongues]int32
	var scripts [16]int32
	for i := range tokens {
		t := &tokens[i]
		for bit := range 10 {
			if t.script&(1<<bit) != 0 {
				scripts[bit]++
			}
		}
		speak := uint32(0)
		if t.word != 0 {
			speak = l.speak[t.word]
		}
		if speak == 0 {
			continue
		}
		n := int32(0)
		for m := speak; m != 0; m &= m - 1 {
			n++
		}
		for k := 0; speak != 0; k, speak = k+1, speak>>1 {
			if speak&1 != 0 {
				votes[k] += fullVote / n
			}
		}
	}
	if name := tongueByScript(&scripts, int32(len(tokens))); name != "" {
		for k, tongue := range l.tongues {
			if tongue == name {
				return tongues{first: int8(k), second: english, sure: true}
			}
		}
	}
	return rank(&votes, len(l.tongues)-1)
}

func rank(votes *[maxTongues]int32, n int) tongues {
	t := tongues{first: english, second: -1}
	best, next := votes[english]+fullVote/2, int32(0)
	for k := 1; k < n; k++ {
		switch {
		case votes[k] > best:
			next, t.second = best, t.first
			best, t.first = votes[k], int8(k)
		case votes[k] > next:
			next, t.second = votes[k], int8(k)
		}
	}
	t.sure = best >= sureVotes
	if t.first != english && !t.sure {
		t.first, t.second = english, t.first
		return t
	}
	if t.second >= 0 && (next < secondVotes || 5*next < 2*best) {
		t.second = -1
	}
	return t
}

// tongueByScript names the language of a script that one language has to itself here. "": Latin letters, or none.
func tongueByScript(scripts *[16]int32, tokens int32) string {
	most, at := int32(0), -1
	for bit, n := range scripts {
		if bit == 2 || bit == 3 || bit == 9 { // counted with Cyrillic; no lexicon
			continue
		}
		if n > most {
			most, at = n, bit
		}
	}
	if most*3 < tokens {
		return ""
	}
	switch script(1) << max(at, 0) {
	case cyrillic:
		if scripts[2]*8 >= most {
			return "uk"
		}
		return "ru"
	case arabic:
		return "ar"
	case devanagari:
		return "hi"
	case han, kana:
		if scripts[7] > 0 {
			return "ja"
		}
		return "zh"
	case hangul:
		return "ko"
	}
	return ""
}
