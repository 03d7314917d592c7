"""Verb phrases that state a fact or take one back: what stands after a subject.

A named group of a pattern is the relation that it fills: `lives in (?P<home>.+)`.
"""

from __future__ import annotations

import re

from ice_agent.collect import values
from ice_agent.collect.names import NAME

ANY_ADVERBS = (
    r"(?:(?:also|now|currently|still|just|recently|already|really|actually|truly|absolutely"
    r"|particularly|quite|very much|always|both|happily|originally|permanently|officially|finally"
    r"|proudly|presently|newly|since|only|definitely|easily|obviously|certainly|totally|mostly|mainly"
    r"|usually|gladly|simply|sadly|technically|lately|normally|generally|hands down|by far) )*"
)
BE = rf"(?:(?:am|is|are|being|have been|has been) {ANY_ADVERBS})"
HAVE = rf"(?:(?:have|has) {ANY_ADVERBS})?"

_HOW = (
    r"(?:(?:full[- ]time|part[- ]time|remotely|there|nights|days|weekends|shifts|night shifts|evenings"
    r"|freelance"
    r"|from home|hard|mostly|with (?:me|us|[A-Z][a-z]+)|for (?:my|him|her)self|in [a-z]+(?: [a-z]+){0,2}"
    r"|on the [a-z]+(?:"
    r" [a-z]+)? team) )*"
)

MONEY = (
    r"(?:the )?(?:\w+ )?"
    r"(?:euros?|dollars?|pounds?|yen|lek|dinars?|francs?|pesos?|kr[oó]n[aeor]+|ngultrum|pataca|dobra"
    r"|nakfa|loti|lilangeni|vatu|tala|krone|rubles?|roubles?"
    r"|rupees?|yuan|won|baht|lira|real|rand|zloty|forint|leu|lev|kwanza|afghani|dirham|rial|riyal"
    r"|shilling|taka|dong|ringgit|rupiah|shekel|koruna|kuna|manat|tenge|lari|dram|som|naira|cedi"
    r"|birr|sol|boliviano|guarani|colon|quetzal|lempira|kyat|kip|riel|pula|metical|dalasi|leone"
    r"|ariary|ouguiya|tugrik|hryvnia|denar|mark)\b"
)

ADVERBS = re.compile(ANY_ADVERBS)

PREDICATES = tuple(
    re.compile(pattern)
    for pattern in (
        # home and seat
        rf"{BE}(?:headquartered|head-quartered|seated) (?:in|at) (?P<seat>.+)",
        rf"(?:{BE}(?:living|residing|based|located|settled|domiciled)|live|lives|living|reside|resides"
        rf"|residing|dwell|dwells|(?:have|has) {ANY_ADVERBS}lived)"
        rf" {ANY_ADVERBS}(?:(?:back|here|together|alone|happily|abroad|on (?:my|his|her|our|their) own|by "
        rf"(?:my|him|her)self|with [^,]+?|over|down|up|out|way out"
        rf"|(?:on|by) the [a-z]+) )*(?:in|out of"
        rf"|at) (?:the (?:city|town|village|suburbs|centre|center|north|south"
        rf"|outskirts) of )?(?P<home>.+?)(?: as (?P<profession>an? .+))?$",
        rf"{HAVE}(?:moved|relocated|emigrated|immigrated|settled|settled down|transferred)(?: (?:back"
        rf"|over|house|home|here|again|away|out|permanently|down|up|together|with [^,]+?))*"
        r"(?: (?:from|out of) .+?)? (?:to|in|into) (?:the (?:city|town|village) of )?(?P<home>.+)",
        rf"{HAVE}(?:got|found|rented|rent|rents|moved into) (?:an?|my own|our own) (?:[a-z-]+ )?(?:flat"
        rf"|house|apartment|place"
        rf"|studio|room|home) in (?P<home>{NAME}.*)",
        rf"{HAVE}call(?:s|ed)? (?P<home>.+?) (?:my |his |her |our |their )?home",
        r"(?:has|have|had|has had|have had|keeps?) (?:its|the|their|a|his|her|my) (?:[\w-]+ )?(?:headquarters"
        r"|head office|seat|main office|HQ) (?:in|at) (?P<seat>.+)",
        r"(?:has|have) (?:its|the|their) capital (?:in|at) (?P<capital>.+)",
        r"(?:has |have |had )?moved (?:its|the|their) (?:headquarters|head office|seat"
        r"|HQ)(?: from .+?)? to (?P<seat>.+)",
        r"(?:has |have |had )?moved (?:its|the|their) capital(?: city)?(?: from .+?)? to (?P<capital>.+)",
        # work
        rf"{BE}an? (?P<age>\d{{1,2}})[- ]years?[- ]old(?: (?P<profession>[a-z -]+?))?"
        r"(?: from (?P<hometown>.+)| at (?P<employer>.+))?$",
        rf"(?:work|works|working|{BE}(?:working|employed)|(?:have|has) {ANY_ADVERBS}worked|{HAVE}(?:started"
        rf"|began)(?: working| work)?|{HAVE}become) {ANY_ADVERBS}{_HOW}as (?P<profession>.+?)"
        r"(?: (?:at|for|with|by) (?P<employer>.+))?$",
        rf"(?:work|works|working|freelance|freelances|{BE}(?:working|employed|hired|freelancing|interning)"
        rf"|(?:have|has) {ANY_ADVERBS}worked|{HAVE}(?:started|began)(?: working| work| a (?:new )?job)?) "
        rf"{ANY_ADVERBS}{_HOW}"
        r"(?:at|for|by) (?P<employer>.+?)(?: as (?P<profession>.+))?$",
        rf"{HAVE}(?:joined|rejoined) (?P<employer>.+?)(?: as (?P<profession>.+))?$",
        rf"{HAVE}(?:got|get|gets|landed|took|taken|found|accepted|started|have|has|got hired|hold"
        rf"|holds|had)(?: (?:an?|the|my|his|her))?(?: [\w-]+)?? (?:job|position|role|post)"
        r"(?: as (?P<profession>.+?))?(?: (?:at|with|for) (?P<employer>.+))?$",
        rf"{HAVE}(?:switched|changed|moved) (?:jobs|employers?|companies)(?: from .+?)? (?:to"
        rf"|and (?:joined|work for)) (?P<employer>.+)",
        rf"{HAVE}(?:got|been|was|were) hired (?:by|at) (?P<employer>.+?)(?: as (?P<profession>.+))?$",
        r"(?:earn|earns|make|makes) (?:my|his|her|a) (?:living|crust|money|keep) as (?P<profession>.+)",
        rf"(?:hold|holds|{HAVE}got|have|has) an? (?P<nationality>\w+) passport",
        r"(?:support|supports|supporting) (?P<favourite_team>(?:the )?(?-i:[A-Z]).+)",
        rf"(?:share|shares|sharing|{BE}sharing) an? (?:flat|house|apartment|place|home) (?:in "
        rf"(?P<home>{NAME}) )?with (?P<flatmate>.+)",
        r"(?:follow|follows|keep to) (?:an? |the )?(?:strict )?(?P<diet>[\w-]+) diet",
        r"(?:was |got |have been |has been )(?:recently |just )?promoted to (?P<profession>.+?)(?: "
        r"(?:at|with) (?P<employer>.+))?$",
        rf"(?:{BE}|{HAVE}(?:became|become|turned|trained as|qualified as) )(?P<profession>(?:an?"
        rf"|the) .+?|(?:mayor|head|captain|president|chair|chair(?:man|woman)|dean|director|treasurer"
        rf"|principal)\b.*?)"
        rf"(?: (?:at|for|with|of) (?P<employer>.+))?$",
        r"(?:report|reports|reporting) (?:directly )?to (?P<boss>.+)",
        rf"{BE}(?P<profession>(?:head|chief|senior|lead|deputy|assistant) [a-z]+(?: [a-z]+)?) (?:at"
        rf"|for|with) (?P<employer>.+)",
        rf"{BE}(?:on the payroll|employed|on staff) (?:at|of|with) (?P<employer>.+)",
        rf"{BE}(?:the )?(?P<profession>(?:head|director|vice president) of \w+) (?:at|for|with) "
        rf"(?P<employer>.+)",
        # birth
        r"(?:was|were) born in (?P<birth_year>\d{4}),? (?:in|at) (?P<birthplace>.+)",
        rf"(?:was|were) {ANY_ADVERBS}born (?:and (?:raised|bred) )?(?:on (?P<birthday>.+?) )?(?:in"
        rf"|at) (?P<birthplace>.+)",
        r"(?:was|were) born (?:in .+? )?on (?P<birthday>.+)",
        r"(?:was|were) born (?P<birthday>\d.+)",
        r"(?:was|were) born in (?P<birth_year>\d{4})",
        r"(?:come|comes|hail|hails) (?:originally )?from (?P<birthplace>.+)",
        # Where somebody is from need not be where they were born.
        rf"{BE}(?:originally )?from (?P<hometown>.+)",
        rf"{HAVE}(?:grew up|grown up|{ANY_ADVERBS}raised|been raised|was raised|was brought up|were "
        rf"raised) in"
        r" (?P<hometown>.+)",
        rf"{BE}(?:an? )?native of (?P<birthplace>.+)",
        rf"{BE}(?P<nationality>.+)",
        rf"{BE}(?P<star_sign>an? \w+)(?=,|$)",
        # education
        rf"{BE}doing (?:an?|my|his|her) (?:PhD|doctorate|master'?s?|MSc|MBA|BSc|degree|bachelor'?s?)"
        rf" in (?P<field_of_study>.+?)"
        r"(?: (?:at|from) (?P<university>.+))?$",
        rf"(?:study|studies|studying|{BE}studying|{HAVE}studied|majored in|{BE}majoring in"
        rf"|majors? in|reads?"
        rf"|did|{BE}(?:reading|doing)) (?P<field_of_study>.+?)(?: (?:over )?(?:at"
        rf"|from) (?P<alma_mater>.+))?$",
        rf"{BE}at (?P<university>{NAME})$",
        rf"{BE}at (?P<university>(?:the )?{NAME}) (?:doing|studying|reading) (?P<field_of_study>.+)",
        rf"(?:study|studies|studying|{BE}studying|{HAVE}studied|{BE}(?:a |an )?(?:[\w-]+ )?student|attend"
        rf"|attends|attended|go to|goes to|went to|{BE}doing [^,]+? (?=at )|teach|teaches)"
        rf"(?: in [\w ]+?)? ?(?:at |from )?(?P<university>(?:the )?{NAME}.*)",
        rf"(?:{HAVE}graduated|{HAVE}(?:got|did|earned|received|finished|completed) (?:my|his|her"
        rf"|a) (?:[\w']+ )?"
        rf"(?:degree|master'?s?|bachelor'?s?|PhD|doctorate|MBA|diploma|undergrad)(?: in [\w ]+?)?)"
        rf" (?:at|from) (?P<alma_mater>.+)",
        rf"(?:teach|teaches|{BE}teaching) (?:[a-z\d]+ ){{0,3}}at (?P<employer>.+)",
        rf"(?:attend|attends|attended|go to|goes to|went to) (?P<school>{NAME}.*)",
        rf"{HAVE}(?:have|has|got|holds?) an? (?:(?:bachelor|master)'?s? )?degree in (?P<degree>.+?)"
        r"(?: (?:at|from) (?P<university>.+))?$",
        rf"{HAVE}(?:have|has|got|holds?) an? (?P<degree>(?:PhD|MBA|MSc|BSc|MA|BA|(?:master|bachelor)'?s?"
        rf"|doctorate) in .+?)(?: (?:at|from) (?P<university>.+))?$",
        # people
        rf"(?:{BE}(?:happily )?married to|{HAVE}(?:married|wed|got married to|been married to"
        rf"|tied the knot with)) (?P<spouse>.+)",
        rf"(?:{BE})?(?:led|run|headed|managed) by (?P<chief_executive>.+)",
        r"celebrates? (?:my|his|her) birthday on (?P<birthday>.+)",
        r"(?:pay|pays) (?:with|in) (?P<currency>.+)",
        rf"{BE}(?P<age>\d+|{values._NUMBER_WORDS})(?P<_years>\b.*)",
        rf"{HAVE}turned (?P<age>.+)",
        rf"{BE}(?P<height>\d[\w.,' \"]*?) tall",
        rf"{BE}(?P<height>(?:\d|four|five|six|seven) (?:foot|feet|ft|metre|meter)(?: (?:\d{{1,2}}|one"
        rf"|two|three|four|five|six|seven|eight|nine|ten|eleven))?)(?=$|,| and\b| so\b)",
        rf"{BE}(?P<height>\d[.,]?\d* ?(?:m|cm)"
        rf"|\d'\d{{1,2}}(?:\"|'')?|\d ?(?:ft|foot) ?\d{{1,2}}|[12]\.\d\d)(?:$|, "
        rf"not\b)",
        r"(?:weigh|weighs) (?P<weight>\d.+)",
        rf"(?:{BE}(?:dating|in a relationship with|going out with|seeing)) (?P<partner>.+)",
        rf"(?:{BE}engaged to|{HAVE}got engaged to) (?P<fiance>.+)",
        rf"(?:{BE}(?:called|named)|go by|goes by(?: the name)?|{BE}known as|{HAVE}changed (?:my|his"
        rf"|her) name to) (?P<name>.+)",
        # likes and habits
        rf"{ANY_ADVERBS}(?:like|likes|liking|love|loves|loving|enjoy|enjoys|enjoying|adore|adores|prefer"
        rf"|prefers"
        rf"|appreciate|appreciates) (?P<likes>.+?)(?: (?:to|over) (?!\w+ing\b|the |to )[^,]+)?$",
        rf"{ANY_ADVERBS}(?:like|likes|love|loves|prefer|prefers) (?P<likes>to .+)",
        rf"{BE}(?:[\w-]+ )?into (?!the [a-z])(?P<pastime>.+)",
        rf"{BE}(?:[\w-]+ )?(?:fond of|into(?! the [a-z])|keen on|crazy about|mad about|passionate"
        rf" about|addicted to"
        rf"|(?:a )?(?:[\w-]+ ){{0,2}}fan of|a (?:[\w-]+ )?lover of|obsessed with|in love with"
        rf"|hooked on) (?P<likes>.+)",
        rf"{HAVE}(?:fell|fallen) in love with (?P<likes>.+)",
        rf"{BE}an? (?:big|huge|massive|real|total|lifelong|die-hard"
        rf"|proper) (?P<likes>[\w' -]+?) (?:fan|lover|nut"
        r"|enthusiast|fanatic)$",
        rf"{ANY_ADVERBS}(?:hate|hates|hating|dislike|dislikes|detest|detests|despise|despises|loathe"
        rf"|loathes) "
        r"(?P<dislikes>.+)",
        rf"(?:play|plays|playing|{BE}playing|{HAVE}played|practi[cs]e|practi[cs]es|{HAVE}taken up|took "
        rf"up|learn|learns|learning|{BE}learning)"
        r" (?P<instrument>.+)",
        r"(?:go|goes) (?P<hobby>[a-z]+ing)(?= (?:every|each|on [A-Z]\w+days|once|twice|regularly|most"
        r"|a lot))",
        rf"{BE}(?:good |close |best )?friends with (?P<friend>.+)",
        rf"(?:play|plays|playing|{BE}playing|{HAVE}played|do|does|doing|practi[cs]e|practi[cs]es"
        rf"|{HAVE}practi[cs]ed|(?:have|has) been (?:doing|practi[cs]ing)|{HAVE}taken up|took up"
        rf"|{BE}taking up) (?P<pastime>.+)",
        rf"(?:use|uses|{HAVE}(?:bought|got|own|owns|have|has)|{BE}using) (?P<phone>.+)",
        rf"(?:drive|drives|driving|(?:have|has) (?:owned|had)|{HAVE}driven|{HAVE}(?:bought|leased|got"
        rf"|own|owns|have|has)"
        rf"|{BE}driving) (?P<car>.+)",
        # What somebody cannot digest is no allergy.
        rf"{BE}(?P<diet>(?:lactose|gluten|histamine|fructose)[- ]intolerant|(?:coeliac|celiac))\b",
        rf"(?:eat|eats|keep|keeps|{BE}) (?:only |strictly )?(?P<diet>halal|kosher|gluten[- ]free"
        rf"|dairy[- ]free|keto"
        r"|vegan|vegetarian)$",
        r"(?:have|has) (?P<diet>coeliac|celiac)(?: disease)?",
        rf"{BE}on (?:an? |the )?(?P<diet>[\w-]+) diet",
        r"(?:has|have) a population of (?:about |around |over |nearly )?(?P<population>\d.+)",
        rf"{BE}(?:[\w-]+ )?allergic to (?P<allergy>.+)",
        r"(?:have|has) an? (?:[\w]+ )?allergy to (?P<allergy>.+)",
        r"(?:have|has|got|have got) (?:an?|the) (?:(?:severe|bad|mild|serious|slight|nasty"
        r"|terrible) )*(?P<allergy>[\w ]+) allergy",
        rf"(?:{BE}|{HAVE}(?:gone|went|turned|became|become|been) )(?:an? )?(?:strict )?(?P<diet>vegan"
        rf"|vegetarian|veggie|pescatarian|keto"
        rf"|flexitarian|gluten-free|teetotal)(?=[ ,]|$)",
        rf"(?:speak|speaks|speaking|{BE}(?:fluent|bilingual) in"
        rf"|{BE}a native speaker of) {ANY_ADVERBS}(?P<language>.+)",
        r"live at (?P<address>\d.+)",
        # countries
        rf"{BE}(?:located |situated |a country |a state |a nation |a republic |an island "
        rf"|a kingdom )?(?:in|on the continent of) (?:the )?(?P<continent>.+)",
        r"(?:lies|lie|belongs|is part) (?:in|on the continent of|on|to|of) (?P<continent>.+)",
        r"(?:use|uses|adopted|has adopted|introduced) (?P<currency>.+?) as (?:its|their|the"
        r"|a) (?:\w+ )?currency",
        rf"(?:has|have) had (?P<currency>{MONEY})",
        rf"(?:has|have) (?:had )?(?P<currency>{MONEY}) as (?:its|their) currency",
        rf"(?:{HAVE}(?:use|uses|adopted|introduced|switched to)) (?P<currency>{MONEY})",
    )
)
"""Verb phrases after a subject, the more specific first."""

AT = re.compile(
    rf"(?:{BE}|(?:have|has) been )(?:back )?(?:at|with) (?P<employer>{NAME})(?: now| again| these days)?$"
)
"""Where somebody is may be an employer: it is one if they are there for years, or if it is a company."""

BEGAN_AS = re.compile(r"(?:started|began)(?: out| off)? as ")
"""Where somebody began tells of now only with a day, as "just" or as "have"."""
