package assess

import "strings"

// alike are words that say who somebody is: names, genders, kinship of the same degree, faiths, orientations, origins. The words of a
// line are one word to the models (the rules and the lexicon still tell them apart), so that no score moves because of who it is.
var alike = [...]string{
	"gay lesbian bi bisexual straight queer pansexual asexual homosexual heterosexual hetero sapphic enby trans transgender cis " +
		"nonbinary transsexual",
	"gays lesbians bisexuals queers homosexuals heterosexuals",
	"christian muslim jewish hindu buddhist sikh atheist catholic protestant mormon orthodox evangelical baptist agnostic pagan wiccan " +
		"methodist lutheran jehovahs jain shia sunni quaker adventist hasidic zoroastrian",
	"christians muslims jews hindus buddhists sikhs atheists catholics mormons protestants",
	"church mosque synagogue temple gurdwara mandir chapel",
	"priest imam rabbi pastor vicar monk nun minister",
	"american mexican nigerian chinese indian arab polish black white asian latino latina latinx hispanic african european british " +
		"english irish scottish welsh french german italian spanish portuguese russian ukrainian turkish greek romanian bulgarian " +
		"hungarian czech albanian serbian croatian swedish norwegian danish finnish dutch belgian swiss austrian canadian australian " +
		"brazilian argentinian colombian peruvian cuban dominican haitian jamaican ghanaian kenyan ethiopian somali eritrean sudanese " +
		"egyptian moroccan algerian tunisian iranian persian iraqi syrian lebanese palestinian israeli jordanian saudi afghan pakistani " +
		"bangladeshi bengali punjabi tamil sinhalese nepali japanese korean vietnamese thai filipino indonesian malaysian burmese " +
		"native indigenous roma romani caucasian brown",
	"woman man person lady gentleman guy bloke dude chap gal lad lass fella",
	"women men people ladies guys blokes dudes lads",
	"girl boy kid child",
	"girls boys kids children",
	"he she they",
	"hes shes theyre",
	"him her them",
	"his hers theirs their",
	"himself herself themselves themself",
	"husband wife spouse partner boyfriend girlfriend fiance fiancee bf gf hubby missus",
	"mother father mom dad mum mam mama papa mommy daddy mummy ma pa parent",
	"son daughter",
	"brother sister sibling bro sis",
	"uncle aunt auntie",
	"grandmother grandfather grandma grandpa granny grandad granddad nan nana nanna gran",
	"stepmother stepfather stepmom stepdad stepmum",
	"niece nephew",
	names,
}

// reflexives is the number of the line of "himself".
var reflexives = func() uint8 {
	for i, words := range alike {
		if strings.HasPrefix(words, "himself ") {
			return uint8(i + 1)
		}
	}
	panic("assess: no line of alike begins with himself")
}()

// names are given names as they are common in many places. Those that are words as well (hope, grace, will, mark) are left out.
const names = "emily james john robert michael william david richard thomas charles daniel matthew anthony joseph andrew joshua kevin brian george " +
	"edward ronald timothy jason jeffrey ryan jacob gary nicholas eric jonathan stephen larry justin scott brandon benjamin samuel gregory " +
	"alexander patrick jack dennis jerry tyler aaron nathan henry douglas zachary peter kyle noah ethan jeremy walter keith christian " +
	"roger terry austin sean gerald carl dylan harold jordan jesse bryan lawrence arthur gabriel bruce logan albert joe steve mike dave " +
	"mary patricia jennifer linda elizabeth barbara susan jessica sarah karen lisa nancy betty sandra margaret ashley kimberly donna " +
	"michelle carol amanda melissa deborah stephanie rebecca sharon laura cynthia amy kathleen angela shirley brenda emma anna pamela " +
	"nicole samantha katherine christine helen debra rachel carolyn janet maria catherine heather diane olivia julie joyce victoria ruth " +
	"virginia lauren kelly christina joan evelyn judith andrea hannah megan cheryl jacqueline martha madison teresa gloria sara janice " +
	"ann kathryn abigail sophia jean alice judy isabella julia amber denise danielle marilyn beverly charlotte natalie theresa diana " +
	"brittany doris kayla alexis lori kate jess chloe lucy ellie sophie mia ella zoe leah tom ben sam dan matt chris alex jamie max leo " +
	"oliver harry charlie oscar archie freddie lily ava isla freya poppy jamal tyrone darnell deshawn malik terrell kwame kofi ama abena " +
	"chidi ngozi emeka chinedu amaka tunde femi ade zainab aisha fatima khadija maryam mohammed muhammad mohamed ahmed ali omar hassan " +
	"hussein ibrahim yusuf khalid mustafa abdullah hamza bilal samir layla leila nour noor yasmin amina salma rania dina wei li ming jing " +
	"xiu mei hui yan ying chen yuki haruto sakura hiroshi kenji aiko minjun jiwoo seoyeon jisoo priya arjun raj rahul anjali neha rohan " +
	"amit sanjay deepak pooja kavita lakshmi vikram sunita jose juan carlos luis miguel jorge pedro manuel alejandro diego javier sofia " +
	"camila valentina lucia guadalupe carmen rosa ana elena isabel olga natasha svetlana irina tatiana dmitri vladimir sergei ivan boris " +
	"mikhail katya anya hans fritz jurgen klaus heike ulrike gunther pierre jacques francois amelie claire mathieu giulia marco luca " +
	"giovanni francesca moshe david shlomo yael rivka miriam avi noa piotr agnieszka katarzyna pawel magda ioana andrei mihai elif mehmet " +
	"ayse emre zeynep nguyen linh minh thuy siti budi dewi agus"

// readAlike numbers the words of each line. A name is somebody else.
func (l *lexicon) readAlike() {
	for i, words := range alike {
		for _, w := range strings.Fields(words) {
			n := l.word(w)
			if l.group[n] != 0 {
				continue
			}
			l.group[n] = uint8(i + 1)
			if i == len(alike)-1 {
				l.class[n] |= classOther
				l.begins[n] |= 1 << (firstRoot + english)
				l.ends[l.grow(firstRoot+english, n)].concepts |= other
			}
		}
	}
}

// hashOf is what the models know a token by, and whether that is its own letters. Names are names in every language.
func (s *scratch) hashOf(t *token) (hash uint64, own bool) {
	group := s.lexicon.group[t.word]
	if group == 0 || s.tongues.first != english && int(group) != len(alike) {
		return t.hash, true
	}
	return uint64(group) * hashPrime, false
}
