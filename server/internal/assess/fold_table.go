package assess

// folds are runs of letters that stand for a plain ASCII one: accented, full-width, small, circled, squared and
// mathematical. One character for each code point from first; a space means none. Made from Unicode 15's compatibility
// decompositions.
var folds = [...]struct {
	first   rune
	letters string
}{
	{0xC0, "aaaaaaaceeeeiiiidnooooo ouuuuytsaaaaaaaceeeeiiiidnooooo ouuuuytyaaaaaaccccccccddddeeeeeeeeeegggg" +
		"gggghhhhiiiiiiiiiiiijjkk llllllllllnnnnnn nnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs" +
		"bb       dd   ee ff    ikk      oo             uu    zz             dddlllnnnaaiioouuuuuuuuuueaa" +
		"aaaa  ggkkoooo  jdddgg  nnaaaaooaaaaeeeeiiiioooorrrruuuusstt  hh      aaeeooooooooyy            " +
		"   b"},
	{0x1D00, "a   cd e  jk m o        p  tu   vwz         aab deeghijklmn o prtuwa   bdee  g kmno   ptu  v    " +
		"  iruv"},
	{0x1E00, "aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmmmmmmnnnnnnnnoooooooopppprrrrrrrr" +
		"ssssssssssttttttttuuuuuuuuuuvvvvwwwwwwwwwwxxxxyyzzzzzzhtwyas  s aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeee" +
		"eeeeeeeeiiiioooooooooooooooooooooooouuuuuuuuuuuuuuyyyyyyyy"},
	{0x2070, "0i  456789     n0123456789      aeoxehklmnpst"},
	{0x2100, "aac  cc   ghhhhhiill nn  pqrrr  stt z   z kabc eef mo    i f         ddeij"},
	{0x249C, "                          abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"},
	{0xFF10, "0123456789       abcdefghijklmnopqrstuvwxyz      abcdefghijklmnopqrstuvwxyz"},
	{0x1D400, "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefg ijklmnopqr" +
		"stuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyza cd  g  jk  nopq stuvwxyzabcd f hij" +
		"klmn pqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzab defg  jklmnopq stuvwxy ab" +
		"cdefghijklmnopqrstuvwxyzab defg ijklm o   stuvwxy abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrst" +
		"uvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl" +
		"mnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcd" +
		"efghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuv" +
		"wxyzi                                                                                           " +
		"                                                                                                " +
		"                                                                                                " +
		"              01234567890123456789012345678901234567890123456789"},
	{0x1F130, "abcdefghijklmnopqrstuvwxyz      abcdefghijklmnopqrstuvwxyz      abcdefghijklmnopqrstuvwxyz"},
}
