package assess

// People that somebody may threaten or be threatened by.
const (
	target = "him|her|them|people|everyone|everybody|someone|somebody"
	kin    = "wife|husband|boyfriend|girlfriend|partner|ex|mom|mum|mother|dad|father|stepdad|boss|coworkers|roommate|brother|sister|son|daughter|kids|family|teacher|neighbour|neighbor|classmates|parents"
	want   = "want|wanna|going|gonna|will|ill|imma|plan|planning|decided"
)

// rules is the rule set. A change of it is a change of RulesetVersion.
var rules = []rule{
	{id: "wish.die", item: itemWish, phrases: []string{
		"want|wants|wanted|wanna die|dead", "want be dead", "wanna be dead", "wish i was|were dead", "wish i wasnt|werent alive|here", "wish i didnt exist|wake",
		"wish i had never been born", "wish i was never born", "better off dead", "better if i was|were dead", "rather be dead",
		"want|wanna dei|deid|dye", "hope|hoping|wish|wishing i get|got|would|could hit|get|killed|cancer|run|struck", "hope i dont wake up", "go to sleep and never|not wake up", "sleep forever", "never wake up", "hope i die|died",
		"quiero morir|morirme", "quero morrer", "je veux mourir", "ich will sterben", "ich will nicht mehr leben",
	}},
	{id: "wish.not_live", item: itemWish, phrases: []string{
		"dont want live|exist", "cant keep living|existing", "just want it|everything all stop|end|over", "just want it|everything stop|over", "dont want be here anymore|any", "dont want be alive", "dont wanna live|exist", "dont wanna be here anymore|any", "dont wanna be alive",
		"not want be alive|here", "not want live", "dont want wake up", "dont wanna wake up", "tired living", "tired being alive", "done living",
		"no reason live", "no point living|in living", "nothing live for", "nothing left live for", "not sure i want be alive|here",
		"not sure i want live", "cant see reason live", "life isnt worth living", "no quiero vivir",
	}},
	{id: "wish.burden", item: itemWish, self: true, phrases: []string{
		"put|putting|getting|got my affairs in order",
		"better off without me", "better without me", "happier without me", "better if i wasnt|werent here|around", "better if i was|were gone", "wont be here much longer",
		"wont have worry about me", "soon i wont be here", "soon i wont be around",
	}},
	{id: "thoughts.kill_self", item: itemThoughts, hard: true, self: true, phrases: []string{
		"kill|killing|kil|unalive|unaliving|off|offing|end|ending|murder myself", "end|ending|take|taking|took my life", "end|ending it all", "kms",
		"commit|committing suicide", "matarme", "suicidarme", "quitarme la vida", "me matar", "me tuer", "mich umbringen", "me suicider",
	}},
	{id: "thoughts.suicidal", item: itemThoughts, phrases: []string{
		"suicide is on my mind", "suicide on my mind", "all i think about is suicide|dying|death", "suicide is all i",
		"suicidal", "thinking|thoughts|thought|think suicide", "thinking|thoughts|thought|think about|of suicide|dying", "consider|considering|considered suicide",
		"thinking|thoughts|thought about ending it|things", "make it all stop forever",
	}},
	{id: "thoughts.injury", item: itemThoughts, self: true, phrases: []string{
		"want|wanna|wanted|wants|need|going|gonna|like hurt|harm|cut|burn|punish|hurting|harming|cutting|burning myself",
		"urge|urges|urged|craving|tempted hurt|cut|harm|burn|cutting|hurting|harming myself", "urge|urges hurt|cut|harm|burn", "cut|cutting|slice|slicing my arms|arm|legs|leg|thighs|thigh|skin|stomach|hips|ankles|forearms|forearm", "hurt|hurting|harm|harming|burn|burning|scratch|scratching|bruise|bite|biting myself on|because|until|deserve|again|with|when", "relapsed and|i hurt|cut|burned|harmed", "harm|harming myself when|again|every", "thoughts|thinking of|about hurting|cutting|harming|burning myself",
	}},
	{id: "method.named", item: itemMethod, hard: true, self: true, phrases: []string{
		"hang|hanging|shoot|shooting|drown|drowning|stab|stabbing|poison|poisoning|starve|suffocate myself", "slit|slitting|cut|cutting|slash my wrists|wrist|throat",
		"jump|jumping|throw|throwing myself off|front|under", "overdose myself",
	}},
	{id: "method.first", item: itemMethod, phrases: []string{
		"tested|testing rope|noose|beam|branch",
		"jump|jumping off bridge|building|roof|cliff|balcony|it", "jump|jumping off one those bridges", "jump|jumping in front train|car|bus|truck|traffic", "step|stepping|walk|walking in front train|car|bus|truck|traffic",
		"step|stepping|walk|walking into traffic", "overdose", "overdosing", "drive|driving my car into|off tree|wall|bridge|cliff|river", "drive|driving into|off tree|wall|bridge|cliff|river",
		"swallow|swallowing|take|taking all|whole|every pills|bottle|pill|tablets|meds", "swallow|swallowing|take|taking all my|these|those|them pills|tablets|meds",
	}},
	{id: "intent.said", item: itemIntent, hard: true, phrases: []string{
		"last night alive|on earth", "last day alive|on earth", "wont see tomorrow", "wont be alive tomorrow", "be dead by tomorrow|morning|tonight|monday", "be dead tomorrow|tonight",
		"ready die", "about kill|end|hang|shoot myself now|tonight", "im|am about kill|end|hang|shoot myself", "im|am about end it|my", "decided die", "going die tonight", "goodbye forever",
	}},
	{id: "plan.note", item: itemPlan, hard: true, phrases: []string{
		"wrote|written|writing|left|finished my suicide|goodbye note|notes|letter|letters", "wrote|written|writing|left|finished suicide|goodbye note|notes|letter|letters",
		"my suicide|goodbye note|letter is", "note is written", "notes are written",
	}},
	{id: "preparation.plan", item: itemPreparation, phrases: []string{
		"have|got|made|had plan", "know how|when|where i will|would|am", "know exactly how|when|where", "planned it|everything|how", "picked|chose|set date|day|place",
		"gave|giving|given away my things|stuff|clothes|belongings|cat|dog|books|guitar", "said|saying my goodbyes", "goodbyes", "my will is", "wrote my will",
	}},
	{id: "preparation.means", item: itemPreparation, phrases: []string{
		"bought|have|got|found|loaded|saved|stockpiled|collected|hoarding|hid|holding pills|gun|rope|noose|knife|blades|razor|tablets|pistol|rifle",
		"bought|have|got|found|loaded|saved|stockpiled|collected|hoarding|hid|holding up|my|his|dads|enough|them pills|gun|rope|noose|tablets|pistol|rifle",
		"took my pills|meds|tablets", "took pills|meds|tablets",
	}},
	{id: "behaviour.overdose", item: itemBehaviour, hard: true, phrases: []string{
		"took|taken|swallowed|swallowing|ate all|whole|every|handful|bottle|bunch pills|tablets|meds|bottle|pill|them|painkillers|ibuprofen|tylenol|paracetamol",
		"took|taken|swallowed|ate all|every my|these|those|his|her pills|tablets|meds|pill|painkillers|medication|sleeping", "took|taken|swallowed too many pills|tablets|meds",
		"took|taken overdose", "overdosed", "took|taken|swallowed handful|bottle|bunch sleeping|my|his|her pills|tablets|meds", "drank bleach|antifreeze",
	}},
	{id: "behaviour.attempt", item: itemBehaviour, hard: true, self: true, phrases: []string{
		"tried|attempted|trying kill|end|hang|shoot|drown myself", "tried|attempted end|take my life", "gun to|in|against my head|mouth", "gun in my hand", "rope|belt|noose around my neck",
		"cut|slit|slashed my wrists open|last|an|tonight|and|on|yesterday|this", "bleeding from my wrists", "tried jump off|front",
	}},
	{id: "behaviour.attempt_named", item: itemBehaviour, phrases: []string{
		"attempted suicide", "tied noose|rope", "standing|sitting|am|im on ledge|edge|bridge|roof|tracks", "on ledge|railing", "suicide attempt last|yesterday",
	}},

	{id: "wish.follow", item: itemWish, self: true, needsDeath: true, phrases: []string{
		"want|wanna|going|gonna|will|ill|should follow|join him|her|them", "want|wanna|going|gonna be with him|her|them again", "so am i",
	}},

	{id: "harm.intent", item: itemHarm, phrases: []string{
		want + " kill|murder|stab|shoot|strangle|poison|attack " + target, want + " kill|murder|stab|shoot|strangle|poison|attack my " + kin,
		want + " hurt " + target, want + " hurt my " + kin, want + " hurt|kill|stab|strangle my little|baby|younger|older|big|own|elderly " + kin, want + " beat " + target + " up|bad|to", want + " shoot up school|place|office", want + " burn house|place down", want + " bring gun|knife",
		want + " make " + target + " pay|bleed|suffer",
	}},
	{id: "harm.thoughts", item: itemHarm, phrases: []string{
		"thinking|thoughts|thought|think|fantasize|fantasizing|fantasies about|of killing|hurting|murdering|stabbing|shooting|strangling " + target,
		"thinking|thoughts|fantasize|fantasizing|fantasies killing|hurting|murdering|stabbing|shooting|strangling " + target,
		"thinking|thoughts|fantasize|fantasizing|fantasies about killing|hurting|murdering|stabbing|shooting|strangling my " + kin,
		"afraid|scared i will|might|ill|could hurt|kill " + target, "afraid|scared i will|might|ill|could hurt|kill my " + kin,
	}},
	{id: "abuse.violence", item: itemAbuse, self: true, needsOther: true, phrases: []string{
		"hits|hit|beats|beat|punches|punched|kicks|kicked|chokes|choked|slaps|slapped|strangled|burned|whips me", "hits|hit|beats|beat|punches|kicks|chokes|slaps us",
		"threw me", "locks|locked me in|out|up", "threatens|threatened to kill|hurt me", "threatens|threatened kill|hurt me", "says|said hell|shell|hed kill me",
	}},
	{id: "abuse.sexual", item: itemAbuse, self: true, phrases: []string{
		"raped|molested|rapes|abused|abuses|assaulted me", "was|been|being|got|am|im abused|molested|raped|assaulted", "touches|touched|touching me",
		"forced|forces|makes|made me to|have sex", "forced|forces|makes|made me sex|undress|touch", "touches|touched my private|body", "comes into my room at|every night",
	}},
	{id: "abuse.fear", item: itemAbuse, self: true, phrases: []string{
		"afraid|scared|terrified my husband|boyfriend|wife|partner|stepdad|dad|father|ex|mother|uncle", "afraid|scared|terrified go home", "wont let me leave|see|talk",
		"hurts me when", "bruises from|he|she",
	}},
	{id: "distress.acute", item: itemDistress, phrases: []string{
		"panic attack|attacks", "cant breathe", "cant cope", "cant take it|this|anymore", "cant do this|it anymore|any", "falling apart", "breaking down", "losing my mind", "losing control", "cant go on",
		"cant stop crying|shaking", "completely|feel|feeling|am|im hopeless|worthless|overwhelmed|trapped|desperate", "want give up", "giving up on everything|life", "cant keep going", "at breaking point",
		"i am|im burden", "such burden", "hate myself", "everything is falling", "no way out", "unbearable",
	}},
	{id: "distress.self_injury", item: itemDistress, self: true, phrases: []string{
		"cut|cutting|burn|burning|burned|hurt|hurting|scratching|harm|harming|harmed myself", "self harm|harming|harmed", "relapsed and cut",
	}},

	{id: "idiom", item: itemIdiom, phrases: []string{
		"took|take|taking my pills|meds|tablets|medication this|as|with|today|on|at|like|after|before", "plan|plans for weekend|week|summer|holiday|holidays|tomorrow|today|christmas|party|project|work|dinner",
		"pills|meds|tablets at|from pharmacy|chemist|chemists|doctor", "pick|picked|picking up my|sleeping pills|meds|prescription|tablets", "beats me why|how|what|who|where|that", "beat|beats me at|in chess|tennis|cards|poker|pool|golf", "chess|tennis teacher|coach|partner|opponent beat|beats me",
		"want|wanna|wanted die laughing|from|embarrassment", "die of|from laughter|embarrassment|laughing|boredom|shame|cringe|heat", "dying to|for", "die for", "to die for", "kill for", "killing it|me|time",
		"cut|burned|burn|hurt myself shaving|cooking|slicing|chopping|playing|running|skiing|gardening", "cut|burned|burn|hurt myself while|when shaving|cooking|slicing|chopping|playing|running|skiing|gardening|lifting|working", "cut|burned|burn|hurt myself at|on|in|with the|my|a gym|work|kitchen|stove|oven|bike|ice|stairs|pan|iron|practice|training|football", "kill|killing process|processes|lights|engine|switch|vibe|mood|bugs|weeds|boss|dragon|zombies|monster", "kill|killing that|this boss|level|process",
		"off myself at|when|if", "suicide squad|mode|squeeze|prevention|hotline|awareness|rates|watch", "died laughing", "shoot myself in foot", "shoot myself a|an email|message|note",
		"kill myself laughing", "kill them with kindness", "if i was|am|were|felt suicidal and|but i said|told no|nope|never|not|him|her", "edge of my|your|his|her|their seat", "edge my|your|his|her|their seat", "roof|bridge fixing|repairing|cleaning|painting|watching|fishing", "roof|bridge with my|our camera|kids|fishing|dog|friends", "die on this|that|the hill", "wrote|write|written|writing goodbye|farewell letter|letters|card|cards|note|notes|email to|for my colleagues|coworkers|team|class|students|boss|neighbours|neighbors|teacher|teachers", "pills|meds|tablets prescribed|that my", "goodbye|farewell letter|letters|card|cards|note|notes|email to|for my colleagues|coworkers|team|class|students|boss|neighbours|neighbors|teacher|teachers", "dying|dye|dyed|dyeing my|his|her|your hair|roots|beard|eyebrows|jeans|shirt", "cut|cutting|cuts my nails|toenails|hair|grass|lawn|losses|fringe|bangs|hours|coffee|finger|thumb", "bridge|tunnel|road|street|track|tracks|line|station is|was|are closed|shut|open|blocked|jammed|icy|busy", "is|was|are closed|shut tomorrow|today|tonight|until|for", "overdosed|overdosing|overdose on chocolate|sugar|coffee|caffeine|carbs|pizza|candy|netflix|tv|cake|food|memes|cheese|sun|sunshine", "follow|following him|her|them|people on|back", "join|joining him|her|them for|at", "rope on|for the|a tent|boat|swing|dog|roof|trailer", "knife set|block|drawer|skills|sharpener", "knife|knives for kitchen|cooking|camping|fishing|carving|bread|cheese", "knife|knives for the|my kitchen|camping|fishing|cooking", "kill|destroy|crush|smash|slaughter|murder|beat him|her|them|people|you in the|this|that|a|our game|match|round|final|finals|league|derby", "kill|destroy|crush|smash|slaughter|murder|beat him|her|them|you in the|this|that|our next|last game|match|round", "take|takes|taking|took|catch|catching|caught|missed|on train|bus|ferry|plane", "kill them|him|her off in|character", "hit me up|back", "hit me that|then|hard that|when i|we|he|she|how|it", "beats me", "beat me to it|the", "beat me at|in a|the|my|chess|cards|tennis|poker|game|darts|pool|golf|scrabble|mario", "shoot him|her|them text|email|message",
		"end it all on", "ending it with", "panic attack on", "sleep forever this|on|in|after", "shoot him|her|them a an",
	}},
	{id: "past", item: itemPast, phrases: []string{
		"years|year|decade|decades|months ago", "used to", "last year", "when i was a|an|young|younger|little|small|in|at|12|13|14|15|16|17|18|19|20|21|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty", "as teen|teenager|kid|child", "back then|in", "in past", "in high school", "in college", "long time ago", "once upon", "in my twenties|teens",
		"in 20", "before therapy", "before i started",
	}},
}
