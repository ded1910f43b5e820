package assess

// classes lists the words that play a role. Apostrophes are left out, as the tokenizer leaves them out.
var classes = map[class]string{
	classFirst: "i im ive id ill me myself we yo me ich je j eu io",
	classOther: "you u he she they hes shes theyre him her them someone somebody anyone people others everyone who kids teens brother sister " +
		"mother father mom mum mommy dad daddy stepdad stepfather parents husband wife boyfriend girlfriend partner ex son " +
		"daughter cousin uncle aunt grandma grandpa grandfather friend roommate neighbour neighbor coworker boss teacher coach " +
		"classmate patient character protagonist celebrity actor singer",
	classNegator: "not no never dont doesnt didnt wont wouldnt isnt arent wasnt aint nor without havent hasnt nobody denies stopped nunca nicht pas",
	classUndeny:  "stop help resist only sure know see think care matter no keep until",
	classWhy:     "why",
	classFiller: "to a an the really just so fucking freaking please actually even ever own literally honestly sometimes always " +
		"truly simply of going like totally",
	classIntent:  "going gonna will ill imma decided planning plan ready intend voy vou werde vais",
	classSoon:    "tonight tomorrow weekend esta heute",
	classPresent: "still again now currently lately today back",
	classMeans: "pill pills tablets meds medication gun pistol rifle rope noose knife razor blade bridge train tracks cliff roof " +
		"overdose poison bleach belt exhaust",
	classMedia: "song lyric lyrics movie film book novel poem quote show episode article post meme game band sings title titled called",
	classTurn:  "but however although because until unless",
	classGood: "good great happy better calm hope hopeful love loved loving proud relieved glad grateful thankful thanks enjoy enjoyed " +
		"fun nice safe excited peaceful relaxed rested wonderful amazing okay fine improving progress helped helpful laughed smile " +
		"smiled confident strong supported",
	classBad: "bad sad angry awful terrible horrible worse worst hopeless worthless useless empty numb lonely alone afraid scared " +
		"anxious panic crying cried cry hate hated hurt hurts hurting pain painful tired exhausted miserable depressed ashamed " +
		"guilty stressed overwhelmed lost broken failure fail upset worried nightmare nightmares dead die suicidal kill",
}

// Topics by number; 0 is none.
const topicCount = 13

var topicNames = [topicCount]string{
	"", "sleep", "work", "family", "relationship", "grief", "anxiety", "depression", "substance_use", "school", "money", "trauma", "health",
}

var topicWords = [topicCount]string{
	1:  "sleep sleeping slept insomnia nightmare nightmares awake bed",
	2:  "work job boss coworker coworkers office career fired promotion shift meeting",
	3:  "family mom mum mother dad father parents sister brother son daughter kids children",
	4:  "relationship boyfriend girlfriend husband wife partner marriage divorce dating breakup ex",
	5:  "grief grieving funeral died passed mourning loss",
	6:  "anxiety anxious panic worried worry worrying nervous",
	7:  "depression depressed hopeless empty numb sad worthless",
	8:  "drinking drunk alcohol drugs sober relapse relapsed weed cocaine heroin addiction",
	9:  "school exam exams class college university homework grades teacher",
	10: "money rent debt bills broke loan mortgage",
	11: "trauma ptsd flashback flashbacks abuse abused assault raped",
	12: "doctor hospital medication meds illness pain diagnosis therapy therapist",
}
