"""
Sentences whose sensitive words are marked by hand, for all English lists together.

`[she]` is a word that tells of the gender, nationality, religion, race or age of people, or that names a country or a
religion. What is not in brackets does not, though it may look like it.
"""

SENTENCES = (
    # gender
    "[She] said that [her] [brother] had called [him] twice.",
    "[Ms] Smith holds an MS in physics, and the choice is [hers].",
    "[Mr] Jones had an MR scan; the nurse called [Mrs] Jones.",
    "We miss you. [Miss] Lee taught us.",
    "It took 20 ms to answer, and the [queen]'s [husband] waited.",
    "The hero shelled peas; nobody mentioned the shell or the other sheriff.",
    "The [king] slept in a king-size bed in King County.",
    "Martin Luther King spoke of freedom.",
    "The lake is man-made, and no man's land begins behind it.",
    "The [actress] thanked the host, the count and the [gentlemen] of the press.",
    "[MR.] BROWN AND [HIS] [WIFE] LEFT.",
    "They are cousins; the [sisters]-in-law are [widows].",
    "A [transgender] [man] and a [nonbinary] teacher spoke.",
    "The sister city of our town is twice as old.",
    "My mother tongue is not a matter for my [mother].",
    "[He]'d rather stay; so would [she], [he]’s sure.",
    # names
    "[Mary] and [Muhammad] met [Mark] in the market to mark the day.",
    "[Grace] asked for a grace period; Grace Period is a song.",
    "Please mark the date, rob no bank, and be frank.",
    "[Bill] paid the bill for [Rose], who rose early.",
    "[Keiko], [Xinyi] and [Priya] share an office with [DeShawn].",
    "MARK ALL ANSWERS IN INK.",
    "Will you come? I will.",
    "May I? In May it may rain.",
    "[Jamal]'s report was read by [José] and [Anna].",
    "The dean of the school saw [Dean] at dawn.",
    "Ask [Will] whether [Hope] may come.",
    "[Jordan] plays chess with [Taylor].",
    "[She] has an X-Ray under the Union Jack.",
    "St. James Hospital lies on Scott Street.",
    # nationality
    "A [Dutch] painter moved to the [US], and it suits us.",
    "The [Turkish] cook carved a turkey in [Turkey].",
    "Polish your shoes, said the [Polish] soldier from [Poland].",
    "The china came from [China]; the [Japanese] did too.",
    "[South Korea] and [Papua New Guinea] signed; [Guinea] did not, nor did [Guinea-Bissau].",
    "New Mexico is not in [Mexico].",
    "We ate French fries with Swiss cheese and a [French] chef.",
    "A guinea pig, a Great Dane and a [Dane] walk in.",
    "[Chad] phoned about the boats.",
    "The [Georgian] wine is from [Georgia], the peaches from Atlanta.",
    "[Americans] abroad call the [UK] [Britain].",
    "The Indian Ocean is warm, as the [Indian] crew knows.",
    "Go to the [U.S.] embassy in [Côte d'Ivoire].",
    "[He] works at American Express.",
    # religion
    "The [imam] and the [rabbi] met at the [church] on [Christmas].",
    "[Christian] is my colleague; [he] is a [Buddhist].",
    "A model-agnostic method, a secular view, a cardinal number.",
    "[Jewish] and [Muslim] students read the [Quran] and the [Torah].",
    "Temple University is in Philadelphia, and the [temple] is in Kyoto.",
    "[Jehovah's Witnesses] came on Easter Island.",
    # race and ethnicity
    "[Black voters] and [white people] agreed on the black box.",
    "The White House is white; the black cat sat on the Black Sea coast.",
    "An [African American] [woman] met [Latino] and [Asian] leaders.",
    "Beat the egg whites, then fold in the blacks of the olives.",
    "A [black man] in a black coat, and a [Kurdish] poet.",
    "[Mr]. White and [Jack] Black sing.",
    "[Native Americans] and [Indigenous] groups protested.",
    # age
    "The [elderly] patient and a [middle-aged] nurse saw a [baby].",
    "A ten-year-old song by a twenty [year-old] singer.",
    "An old house, a new car, a senior engineer, a minor change.",
    "[Teenagers] and [young people] of [Generation Z] vote.",
    "The [younger] [daughter] is a [millennial].",
    # none at all
    "The quick brown fox jumps over the lazy dog.",
    "Results improved by 3.2 points over the baseline in all settings.",
)

# What the lists get wrong in them: words that they miss, and words that they take for sensitive.
MISTAKES = {
    "Ask Will whether Hope may come.": (["Will", "Hope"], []),
    "Jordan plays chess with Taylor.": (["Taylor"], []),
    "St. James Hospital lies on Scott Street.": ([], ["James", "Scott"]),
    "Polish your shoes, said the Polish soldier from Poland.": ([], ["Polish"]),
    "Beat the egg whites, then fold in the blacks of the olives.": ([], ["blacks"]),
    "Mr. White and Jack Black sing.": ([], ["White", "Black"]),
    "A ten-year-old song by a twenty year-old singer.": ([], ["year-old"]),
}
