package corpus

// around is what people put before and behind anything they say, in one language. Nothing in it may change what a
// message means: no "just kidding", no "help".
type around struct{ openers, closers []string }

// emojiTails go behind risky and harmless messages alike.
var emojiTails = []string{"🙃", "😅", "💀", "😭", "🤷", "😔", "👀", "🥲", "🙏", "😂", "❤️", "😶"}

// tails has an entry for each language of the corpus.
var tails = map[string]around{
	"en": {
		[]string{"hi, ", "hey ", "hello. ", "ok so ", "so ", "um ", "honestly ", "sorry to bother you. ", "well, ", "good evening. ", "long day at work. ", "it's raining here again. ", "not sure how to say this. ", "just got home. "},
		[]string{", thanks", ", idk", ", you know?", ", anyway", "sorry for the long message.", "thanks for reading.", "that's all.", "anyway how are you", "brb, dinner.", ", tbh", "I have to go soon.", ", lol"},
	},
	"es": {
		[]string{"hola, ", "buenas, ", "bueno, ", "pues ", "la verdad, ", "perdón por escribir tan tarde. ", "no sé cómo decirlo. ", "acabo de llegar a casa. "},
		[]string{", gracias", ", no sé", ", la verdad", "perdón por el mensaje tan largo.", "gracias por leerme.", "eso es todo.", ", en fin"},
	},
	"pt": {
		[]string{"oi, ", "olá, ", "bom, ", "então, ", "sinceramente, ", "desculpa a hora. ", "não sei como dizer. ", "acabei de chegar em casa. "},
		[]string{", obrigada", ", sei lá", ", enfim", "desculpa o textão.", "obrigado por ler.", "é isso.", ", né"},
	},
	"fr": {
		[]string{"bonjour, ", "salut, ", "bon, ", "alors ", "franchement, ", "désolé d'écrire si tard. ", "je ne sais pas comment le dire. ", "je viens de rentrer. "},
		[]string{", merci", ", je sais pas", ", enfin voilà", "désolée pour le pavé.", "merci de m'avoir lu.", "voilà, c'est tout.", ", bref"},
	},
	"it": {
		[]string{"ciao, ", "buonasera, ", "allora, ", "beh, ", "sinceramente ", "scusa l'ora. ", "non so come dirlo. ", "sono appena tornato a casa. "},
		[]string{", grazie", ", boh", ", insomma", "scusa per il messaggio lungo.", "grazie per aver letto.", "tutto qui.", ", ecco"},
	},
	"de": {
		[]string{"hallo, ", "hi, ", "also ", "naja, ", "ehrlich gesagt: ", "sorry, dass ich so spät schreibe. ", "ich weiß nicht, wie ich es sagen soll. ", "bin gerade nach Hause gekommen. "},
		[]string{", danke", ", keine Ahnung", ", naja", "sorry für die lange Nachricht.", "danke fürs Lesen.", "das war's.", ", irgendwie"},
	},
	"nl": {
		[]string{"hoi, ", "hallo, ", "nou, ", "dus ", "eerlijk gezegd, ", "sorry dat ik zo laat schrijf. ", "ik weet niet hoe ik het moet zeggen. ", "ik ben net thuis. "},
		[]string{", bedankt", ", weet ik veel", ", enfin", "sorry voor het lange bericht.", "bedankt voor het lezen.", "dat was het.", ", ofzo"},
	},
	"pl": {
		[]string{"hej, ", "cześć, ", "dzień dobry, ", "no więc ", "szczerze mówiąc, ", "przepraszam, że tak późno. ", "nie wiem, jak to powiedzieć. ", "właśnie wróciłam do domu. "},
		[]string{", dzięki", ", nie wiem", ", no cóż", "przepraszam za długą wiadomość.", "dziękuję za przeczytanie.", "to wszystko.", ", jakoś tak"},
	},
	"ro": {
		[]string{"bună, ", "salut, ", "păi ", "deci ", "sincer, ", "scuze că scriu așa târziu. ", "nu știu cum să spun. ", "tocmai am ajuns acasă. "},
		[]string{", mulțumesc", ", nu știu", ", în fine", "scuze pentru mesajul lung.", "mersi că ai citit.", "asta e tot.", ", na"},
	},
	"ru": {
		[]string{"привет, ", "здравствуйте, ", "ну ", "в общем ", "честно говоря, ", "простите, что так поздно. ", "не знаю, как сказать. ", "только что пришла домой. "},
		[]string{", спасибо", ", не знаю", ", как-то так", "простите за длинное сообщение.", "спасибо, что читаете.", "вот и всё, что хотел написать.", ", ну да"},
	},
	"uk": {
		[]string{"привіт, ", "вітаю, ", "ну ", "загалом ", "чесно кажучи, ", "вибачте, що так пізно. ", "не знаю, як сказати. ", "щойно прийшла додому. "},
		[]string{", дякую", ", не знаю", ", якось так", "вибачте за довге повідомлення.", "дякую, що читаєте.", "ось, що хотів написати.", ", ну так"},
	},
	"tr": {
		[]string{"merhaba, ", "selam, ", "yani ", "şey, ", "açıkçası ", "kusura bakmayın geç yazıyorum. ", "nasıl söyleyeceğimi bilmiyorum. ", "eve yeni geldim. "},
		[]string{", teşekkürler", ", bilmiyorum", ", işte", "uzun mesaj için özür dilerim.", "okuduğunuz için sağ olun.", "bu kadar.", ", yani"},
	},
	"ar": {
		[]string{"مرحبا، ", "السلام عليكم، ", "طيب ", "بصراحة، ", "آسف على الوقت المتأخر. ", "لا أعرف كيف أقولها. ", "وصلت البيت للتو. "},
		[]string{"، شكرا", "، لا أدري", "، يعني", "آسفة على الرسالة الطويلة.", "شكرا على القراءة.", "هذا ما عندي."},
	},
	"hi": {
		[]string{"नमस्ते, ", "जी, ", "तो ", "सच कहूँ तो ", "इतनी रात को लिखने के लिए माफ़ी। ", "hello, ", "अभी घर आया हूँ। "},
		[]string{", धन्यवाद", ", पता नहीं", ", बस", "लंबे मैसेज के लिए माफ़ी।", "पढ़ने के लिए शुक्रिया।", ", yaar"},
	},
	"zh": {
		[]string{"你好，", "您好，", "那个，", "嗯，", "说实话，", "不好意思这么晚打扰。", "不知道怎么说。", "刚到家。"},
		[]string{"，谢谢", "，不知道", "，唉", "不好意思写得有点长。", "谢谢你看完。", "就这些。", "，吧"},
	},
	"ja": {
		[]string{"こんばんは、", "すみません、", "えっと、", "あの、", "正直、", "遅くにすみません。", "どう言えばいいかわからないけど。", "今帰ってきました。"},
		[]string{"、ありがとう", "、わからない", "、なんか", "長くなってすみません。", "読んでくれてありがとう。", "以上です。", "、うん"},
	},
	"ko": {
		[]string{"안녕하세요, ", "저기, ", "음, ", "그러니까 ", "솔직히 ", "늦은 시간에 죄송해요. ", "어떻게 말해야 할지 모르겠어요. ", "방금 집에 왔어요. "},
		[]string{", 감사합니다", ", 모르겠어요", ", 뭐", "글이 길어서 죄송해요.", "읽어 주셔서 고마워요.", "이게 다예요.", ", 그냥"},
	},
	"id": {
		[]string{"halo, ", "hai, ", "jadi ", "hmm ", "jujur, ", "maaf nulis malam-malam. ", "bingung gimana bilangnya. ", "baru sampai rumah. "},
		[]string{", makasih", ", gatau", ", ya gitu", "maaf kepanjangan.", "terima kasih sudah baca.", "itu aja.", ", sih"},
	},
}
