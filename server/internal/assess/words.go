package assess

import "vigil/server/internal/triage"

// classes lists the words that play a role. Apostrophes are left out, as the tokenizer leaves them out.
var classes = map[class]string{
	classFirst:   "i im ive id ill me myself we yo me ich je j eu io",
	classSubject: "i im ive id ill we yo ich je j eu io",
	classOther: "you u he she they hes shes theyre him her them someone somebody anyone people others everyone who kids teens brother sister " +
		"mother father mom mum mommy dad daddy stepdad stepfather parents husband wife boyfriend girlfriend partner ex son " +
		"daughter cousin uncle aunt grandma grandpa grandfather friend roommate neighbour neighbor coworker boss teacher coach " +
		"classmate patient patients client clients student students pupil pupils character protagonist celebrity actor singer",
	classNegator: "not no never dont doesnt didnt wont wouldnt isnt arent wasnt aint nor without havent hasnt nobody denies stopped nunca nicht pas",
	classUndeny:  "stop help resist only sure know see care matter no keep until scared afraid ashamed embarrassed",
	classThird:   "is isnt was wasnt has hasnt says keeps wants wanted feels felt seems became",
	classThing:   "it this that which what there head brain mind life everything nothing mood anxiety depression part voice heart plan dream thing truth problem feeling way reason point result answer rest song",
	classMyself:  "myself",
	classJoin:    "and but so because cause since that like as then though although while until",
	classWanting: "want wanna going gonna im am will ill planning need ima imma",
	classReport:  "that think thinking believe say saying said mean means meaning feel feeling felt like because cause as",
	classSettled: "now completely entirely totally altogether thankfully too finally since for by thank thanks i im",
	classOwning:  "my our his her their the a an this that your",
	classReason:  "reason reasons excuse",
	classUnable:  "cant cannot couldnt",
	classPromise: "promise guarantee swear sure certain say",
	classWhy:     "why",
	classAsk:     "what whats which how does is are who where when define explain",
	classCeased:  "stopped gone faded vanished disappeared passed lifted ceased",
	classAux:     "have has had havent are were is theyve its went ive seem completely finally mostly",
	classFiller: "2 to a an the really just so fucking freaking please actually even ever own literally honestly sometimes always " +
		"truly simply of going like totally",
	classIntent:  "going gonna will ill imma decided planning plan ready intend voy vou werde vais",
	classSoon:    "tonight tomorrow weekend esta heute",
	classPresent: "still again now currently lately today back",
	classMeans: "pill pills tablets meds medication gun pistol rifle rope noose knife razor blade bridge train tracks cliff roof " +
		"overdose poison bleach belt exhaust",
	classMedia: "chorus verse worksheet questionnaire chapter song lyric lyrics movie film book novel poem quote show episode article post meme game band sings title titled called " +
		"leaflet form homework handbook crossword screenshot sign poster headline survey quiz slide script caption example scene",
	classTurn: "but however although because until unless",
	classGood: "good great happy better calm hope hopeful love loved loving proud relieved glad grateful thankful thanks enjoy enjoyed " +
		"fun nice safe excited peaceful relaxed rested wonderful amazing okay fine improving progress helped helpful laughed smile " +
		"smiled confident strong supported",
	classBad: "bad sad angry awful terrible horrible worse worst hopeless worthless useless empty numb lonely alone afraid scared " +
		"anxious panic crying cried cry hate hated hurt hurts hurting pain painful tired exhausted miserable depressed ashamed " +
		"guilty stressed overwhelmed lost broken failure fail upset worried nightmare nightmares dead die suicidal kill",
}

// topicWords are the words that name a topic.
var topicWords = map[string]string{
	"sleep-improvement":        "sleep sleeping slept insomnia nightmare nightmares awake",
	"work":                     "work job boss coworker coworkers office career fired promotion meeting",
	"family-conflict":          "family mom mum mother dad father parents sister brother son daughter",
	"relationships":            "relationship boyfriend girlfriend partner dating",
	"marriage":                 "husband wife marriage married",
	"relationship-dissolution": "divorce breakup ex separated",
	"grief-and-loss":           "grief grieving funeral mourning loss",
	"anxiety":                  "anxiety anxious panic worried worry worrying nervous",
	"depression":               "depression depressed hopeless empty numb worthless",
	"substance-abuse":          "drinking drunk alcohol drugs sober relapse relapsed weed cocaine heroin",
	"addiction":                "addiction addicted gambling",
	"school":                   "school exam exams class college university homework grades teacher",
	"money":                    "money rent debt bills broke loan mortgage",
	"trauma":                   "trauma ptsd flashback flashbacks abuse abused assault raped",
	"health":                   "doctor hospital medication meds illness diagnosis",
	"parenting":                "toddler newborn parenting",
	"spirituality":             "god church faith prayer",
	"eating-disorders":         "anorexia bulimia binge purge",
}

// topicRules are the rule ids of topics' key phrases, in the order of TopicNames.
var topicRules = func() (ids []string) {
	for _, name := range topicList {
		ids = append(ids, triage.TopicRule+name)
	}
	return ids
}()
