"""The ways in which people state a fact: verb phrases, nouns and whole clauses, as tables.

A named group of a pattern is the relation that it fills: `lives in (?P<home>.+)`.
"""

from __future__ import annotations

import re

from ice_agent.collect import values
from ice_agent.collect.names import NAME

RELATIVES = ("sister", "brother", "mother", "father", "son", "daughter", "dog", "cat")

READERS: dict[str, values.Reader] = {
    "home": values.place,
    "birthplace": values.place,
    "seat": values.place,
    "capital": values.place,
    "employer": values.organisation,
    "spouse": values.somebody,
    "chief_executive": values.person,
    "name": values.person,
    "profession": values.profession,
    "age": values.age,
    "birthday": values.day,
    "continent": values.continent,
    "language": values.languages,
    "currency": values.currency,
    "likes": values.things,
    "allergy": values.things,
    "nationality": values.nationality,
    "star sign": values.star_sign,
    "dislikes": values.things,
    "instrument": values.instruments,
    "hobby": values.things,
    "pastime": values.pastimes,
    "car": values.car,
    "phone": values.phone,
    "field of study": values.field_of_study,
    "university": values.university,
    "school": values.school,
    "alma mater": values.organisation,
    "friend": values.people,
    "best friend": values.somebody,
    "height": values.measure,
    "weight": values.measure,
    "degree": values.thing,
    "diet": values.thing,
    "birth year": values.name_or_number,
    "address": values.thing,
    "boss": values.somebody,
    "partner": values.somebody,
    "fiance": values.somebody,
    "population": values.name_or_number,
    "hometown": values.place,
    "known currency": values.currency,
    "founder": values.people,
    **dict.fromkeys(RELATIVES, values.people),
}
"""How the object of a relation is read."""

FEMALE = values.words("female")
MALE = values.words("male")
ROLES = FEMALE | MALE | values.words("other_roles")
"""Nouns for people and animals: what may be called by a name, and may itself live somewhere."""

PLAIN_VALUE_NOUNS = values.words("plain_value_nouns")
"""Nouns whose value may be a common word: "My hobby is chess", but not "My car is broken"."""

HEADS = (
    r"(?:chief exec(?:utive(?: officer)?)?|CEO|ceo|MD|managing director|boss|HQ|capital(?: city)?"
    r"|official language|language"
    r"|currency|president|prime minister|king|queen|mayor"
    r"|founder|co-founder|owner|chair(?:man|woman|person)?|governor|headquarters|seat|head office"
    r"|captain|coach|author|director|editor|sister|brother|mother"
    r"|father|son|daughter|wife|husband|spouse|dog|cat|birthplace|home|employer|profession|leader"
    r"|manager|principal|dean|minister|name)"
)
"""Nouns that make "X is the ... of Y" a fact about Y."""

_A = (
    r"(?:(?:also|now|currently|still|just|recently|already|really|actually|truly|absolutely"
    r"|particularly|quite|very much|always|both|happily|originally|permanently|officially|finally"
    r"|proudly|presently|newly|since|only|definitely|easily|obviously|certainly|totally|mostly|mainly"
    r"|usually|gladly|simply|sadly|technically|lately|normally|generally|hands down|by far) )*"
)
_BE = rf"(?:(?:am|is|are|being|have been|has been) {_A})"
_HAVE = rf"(?:(?:have|has) {_A})?"

_HOW = (
    r"(?:(?:full[- ]time|part[- ]time|remotely|there|nights|days|weekends|shifts|night shifts|evenings"
    r"|freelance"
    r"|from home|hard|mostly|with (?:me|us|[A-Z][a-z]+)|in [a-z]+(?: [a-z]+){0,2}|on the [a-z]+(?:"
    r" [a-z]+)? team) )*"
)

_MONEY = (
    r"(?:the )?(?:\w+ )?"
    r"(?:euros?|dollars?|pounds?|yen|lek|dinars?|francs?|pesos?|kron[aeor]+|krone|rubles?|roubles?"
    r"|rupees?|yuan|won|baht|lira|real|rand|zloty|forint|leu|lev|kwanza|afghani|dirham|rial|riyal"
    r"|shilling|taka|dong|ringgit|rupiah|shekel|koruna|kuna|manat|tenge|lari|dram|som|naira|cedi"
    r"|birr|sol|boliviano|guarani|colon|quetzal|lempira|kyat|kip|riel|pula|metical|dalasi|leone"
    r"|ariary|ouguiya|tugrik|hryvnia|denar|mark)\b"
)

ADVERBS = re.compile(_A)

PREDICATES = tuple(
    re.compile(pattern)
    for pattern in (
        # home and seat
        rf"{_BE}(?:headquartered|head-quartered|seated) (?:in|at) (?P<seat>.+)",
        rf"(?:{_BE}(?:living|residing|based|located|settled|domiciled)|live|lives|living|reside|resides"
        rf"|residing|dwell|dwells|(?:have|has) {_A}lived)"
        rf" {_A}(?:(?:back|here|together|alone|happily|abroad|with [^,]+?|over|down|up|out|way out"
        rf"|(?:on|by) the [a-z]+) )*(?:in|out of"
        rf"|at) (?:the (?:city|town|village|suburbs|centre|center|north|south"
        rf"|outskirts) of )?(?P<home>.+)",
        rf"{_HAVE}(?:moved|relocated|emigrated|immigrated|settled|settled down|transferred)(?: (?:back"
        rf"|over|house|home|here|again|away|out|permanently|down|up|together|with [^,]+?))*"
        r"(?: (?:from|out of) .+?)? (?:to|in|into) (?:the (?:city|town|village) of )?(?P<home>.+)",
        rf"{_HAVE}call(?:s|ed)? (?P<home>.+?) (?:my |his |her |our |their )?home",
        r"(?:has|have|had|has had|have had|keeps?) (?:its|the|their|a|his|her|my) (?:[\w-]+ )?(?:headquarters"
        r"|head office|seat|main office|HQ) (?:in|at) (?P<seat>.+)",
        r"(?:has|have) (?:its|the|their) capital (?:in|at) (?P<capital>.+)",
        r"(?:has |have |had )?moved (?:its|the|their) (?:headquarters|head office|seat"
        r"|HQ)(?: from .+?)? to (?P<seat>.+)",
        r"(?:has |have |had )?moved (?:its|the|their) capital(?: city)?(?: from .+?)? to (?P<capital>.+)",
        # work
        rf"{_BE}an? (?P<age>\d{{1,2}})[- ]years?[- ]old(?: (?P<profession>[a-z -]+?))?"
        r"(?: from (?P<birthplace>.+)| at (?P<employer>.+))?$",
        rf"(?:work|works|working|{_BE}(?:working|employed)|(?:have|has) {_A}worked|{_HAVE}(?:started"
        rf"|began)(?: working| work)?|{_HAVE}become) {_A}{_HOW}as (?P<profession>.+?)"
        r"(?: (?:at|for|with|by) (?P<employer>.+))?$",
        rf"(?:work|works|working|freelance|freelances|{_BE}(?:working|employed|hired|freelancing|interning)"
        rf"|(?:have|has) {_A}worked|{_HAVE}(?:started|began)(?: working| work| a (?:new )?job)?) {_A}{_HOW}"
        r"(?:at|for|by) (?P<employer>.+?)(?: as (?P<profession>.+))?$",
        rf"{_HAVE}(?:joined|rejoined) (?P<employer>.+?)(?: as (?P<profession>.+))?$",
        rf"{_HAVE}(?:got|get|gets|landed|took|taken|found|accepted|started|have|has|got hired|hold"
        rf"|holds|had)(?: (?:an?|the|my|his|her))?(?: [\w-]+)?? (?:job|position|role|post)"
        r"(?: as (?P<profession>.+?))?(?: (?:at|with|for) (?P<employer>.+))?$",
        rf"{_HAVE}(?:switched|changed|moved) (?:jobs|employers?|companies)(?: from .+?)? (?:to"
        rf"|and (?:joined|work for)) (?P<employer>.+)",
        rf"{_HAVE}(?:got|been|was|were) hired (?:by|at) (?P<employer>.+?)(?: as (?P<profession>.+))?$",
        r"(?:earn|earns|make|makes) (?:my|his|her|a) (?:living|crust|money|keep) as (?P<profession>.+)",
        rf"(?:hold|holds|{_HAVE}got|have|has) an? (?P<nationality>\w+) passport",
        r"(?:follow|follows|keep to) (?:an? |the )?(?:strict )?(?P<diet>[\w-]+) diet",
        r"(?:was |got |have been |has been )(?:recently |just )?promoted to (?P<profession>.+?)(?: "
        r"(?:at|with) (?P<employer>.+))?$",
        rf"(?:{_BE}|{_HAVE}(?:became|become|turned|trained as|qualified as) )(?P<profession>(?:an?"
        rf"|the) .+?)(?: (?:at|for|with|of) (?P<employer>.+))?$",
        r"(?:report|reports|reporting) (?:directly )?to (?P<boss>.+)",
        rf"{_BE}(?P<profession>(?:head|chief|senior|lead|deputy|assistant) [a-z]+(?: [a-z]+)?) (?:at"
        rf"|for|with) (?P<employer>.+)",
        rf"{_BE}(?:on the payroll|employed|on staff) (?:at|of|with) (?P<employer>.+)",
        rf"{_BE}(?P<profession>(?:head|director|vice president) of \w+) (?:at|for|with) (?P<employer>.+)",
        # birth
        r"(?:was|were) born in (?P<birth_year>\d{4}),? (?:in|at) (?P<birthplace>.+)",
        rf"(?:was|were) {_A}born (?:and (?:raised|bred) )?(?:on (?P<birthday>.+?) )?(?:in"
        rf"|at) (?P<birthplace>.+)",
        r"(?:was|were) born (?:in .+? )?on (?P<birthday>.+)",
        r"(?:was|were) born (?P<birthday>\d.+)",
        r"(?:was|were) born in (?P<birth_year>\d{4})",
        rf"(?:{_BE}|come |comes |hail |hails )(?:originally )?from (?P<birthplace>.+)",
        rf"{_HAVE}(?:grew up|grown up|{_A}raised|been raised|was raised|was brought up|were raised) in"
        r" (?P<hometown>.+)",
        rf"{_BE}(?:an? )?native of (?P<birthplace>.+)",
        rf"{_BE}(?P<nationality>.+)",
        rf"{_BE}(?P<star_sign>an? \w+)(?=,|$)",
        # education
        rf"{_BE}doing (?:an?|my|his|her) (?:PhD|doctorate|master'?s?|MSc|MBA|BSc|degree|bachelor'?s?)"
        rf" in (?P<field_of_study>.+?)"
        r"(?: (?:at|from) (?P<university>.+))?$",
        rf"(?:study|studies|studying|{_BE}studying|{_HAVE}studied|majored in|{_BE}majoring in"
        rf"|majors? in|reads?"
        rf"|did|{_BE}(?:reading|doing)) (?P<field_of_study>.+?)(?: (?:over )?(?:at"
        rf"|from) (?P<alma_mater>.+))?$",
        rf"{_BE}at (?P<university>(?:the )?{NAME}) (?:doing|studying|reading) (?P<field_of_study>.+)",
        rf"(?:study|studies|studying|{_BE}studying|{_HAVE}studied|{_BE}(?:a |an )?(?:[\w-]+ )?student|attend"
        rf"|attends|attended|go to|goes to|went to|{_BE}doing [^,]+? (?=at )|teach|teaches)"
        rf"(?: in [\w ]+?)? ?(?:at |from )?(?P<university>(?:the )?{NAME}.*)",
        rf"(?:{_HAVE}graduated|{_HAVE}(?:got|did|earned|received|finished|completed) (?:my|his|her"
        rf"|a) (?:[\w']+ )?"
        rf"(?:degree|master'?s?|bachelor'?s?|PhD|doctorate|MBA|diploma|undergrad)(?: in [\w ]+?)?)"
        rf" (?:at|from) (?P<alma_mater>.+)",
        rf"(?:teach|teaches|{_BE}teaching) (?:[a-z]+ )?at (?P<employer>.+)",
        rf"(?:attend|attends|attended|go to|goes to|went to) (?P<school>{NAME}.*)",
        rf"{_HAVE}(?:have|has|got|holds?) an? (?:(?:bachelor|master)'?s? )?degree in (?P<degree>.+?)"
        r"(?: (?:at|from) (?P<university>.+))?$",
        rf"{_HAVE}(?:have|has|got|holds?) an? (?P<degree>(?:PhD|MBA|MSc|BSc|MA|BA|(?:master|bachelor)'?s?"
        rf"|doctorate) in .+?)(?: (?:at|from) (?P<university>.+))?$",
        # people
        rf"(?:{_BE}(?:happily )?married to|{_HAVE}(?:married|wed|got married to|been married to"
        rf"|tied the knot with)) (?P<spouse>.+)",
        rf"(?:{_BE})?(?:led|run|headed|managed) by (?P<chief_executive>.+)",
        r"celebrates? (?:my|his|her) birthday on (?P<birthday>.+)",
        r"(?:pay|pays) (?:with|in) (?P<currency>.+)",
        rf"{_BE}(?P<age>\d+|{values._NUMBER_WORDS})(?P<_years>\b.*)",
        rf"{_HAVE}turned (?P<age>.+)",
        rf"{_BE}(?P<height>\d[\w.,' \"]*?) tall",
        rf"{_BE}(?P<height>(?:\d|four|five|six|seven) (?:foot|feet|ft|metre|meter)(?: (?:\d{{1,2}}|one"
        rf"|two|three|four|five|six|seven|eight|nine|ten|eleven))?)(?=$|,| and\b| so\b)",
        rf"{_BE}(?P<height>\d[.,]?\d* ?(?:m|cm)|\d'\d{{1,2}})$",
        r"(?:weigh|weighs) (?P<weight>\d.+)",
        rf"(?:{_BE}(?:dating|in a relationship with|going out with|seeing)) (?P<partner>.+)",
        rf"(?:{_BE}engaged to|{_HAVE}got engaged to) (?P<fiance>.+)",
        rf"(?:{_BE}(?:called|named)|go by|goes by(?: the name)?|{_BE}known as|{_HAVE}changed (?:my|his"
        rf"|her) name to) (?P<name>.+)",
        # likes and habits
        rf"{_A}(?:like|likes|liking|love|loves|loving|enjoy|enjoys|enjoying|adore|adores|prefer|prefers"
        rf"|appreciate|appreciates) (?P<likes>.+?)(?: (?:to|over) (?!\w+ing\b|the |to )[^,]+)?$",
        rf"{_A}(?:like|likes|love|loves|prefer|prefers) (?P<likes>to .+)",
        rf"{_BE}(?:[\w-]+ )?into (?!the [a-z])(?P<pastime>.+)",
        rf"{_BE}(?:[\w-]+ )?(?:fond of|into(?! the [a-z])|keen on|crazy about|mad about|passionate"
        rf" about|addicted to"
        rf"|(?:a )?(?:[\w-]+ ){{0,2}}fan of|a (?:[\w-]+ )?lover of|obsessed with|in love with"
        rf"|hooked on) (?P<likes>.+)",
        rf"{_HAVE}(?:fell|fallen) in love with (?P<likes>.+)",
        rf"{_BE}an? (?:big|huge|massive|real|total|lifelong|die-hard"
        rf"|proper) (?P<likes>[\w' -]+?) (?:fan|lover|nut"
        r"|enthusiast|fanatic)$",
        rf"{_A}(?:hate|hates|hating|dislike|dislikes|detest|detests|despise|despises|loathe|loathes) "
        r"(?P<dislikes>.+)",
        rf"(?:play|plays|playing|{_BE}playing|{_HAVE}played|practi[cs]e|practi[cs]es|{_HAVE}taken up|took up)"
        r" (?P<instrument>.+)",
        r"(?:go|goes) (?P<hobby>[a-z]+ing)(?= (?:every|each|on [A-Z]\w+days|once|twice|regularly|most"
        r"|a lot))",
        rf"{_BE}(?:good |close |best )?friends with (?P<friend>.+)",
        rf"(?:play|plays|playing|{_BE}playing|{_HAVE}played|do|does|doing|practi[cs]e|practi[cs]es"
        rf"|{_HAVE}practi[cs]ed|(?:have|has) been (?:doing|practi[cs]ing)|{_HAVE}taken up|took up"
        rf"|{_BE}taking up) (?P<pastime>.+)",
        rf"(?:use|uses|{_HAVE}(?:bought|got|own|owns|have|has)|{_BE}using) (?P<phone>.+)",
        rf"(?:drive|drives|driving|(?:have|has) (?:owned|had)|{_HAVE}driven|{_HAVE}(?:bought|leased|got"
        rf"|own|owns|have|has)"
        rf"|{_BE}driving) (?P<car>.+)",
        rf"{_BE}(?P<allergy>lactose|gluten|histamine|fructose)[- ]intolerant",
        rf"(?:eat|eats|keep|keeps|{_BE}) (?:only |strictly )?(?P<diet>halal|kosher|gluten[- ]free"
        rf"|dairy[- ]free|keto"
        r"|vegan|vegetarian)$",
        rf"{_BE}on (?:an? |the )?(?P<diet>[\w-]+) diet",
        r"(?:has|have) a population of (?:about |around |over |nearly )?(?P<population>\d.+)",
        rf"{_BE}(?:[\w-]+ )?allergic to (?P<allergy>.+)",
        r"(?:have|has) an? (?:[\w]+ )?allergy to (?P<allergy>.+)",
        r"(?:have|has|got|have got) an? (?:(?:severe|bad|mild|serious|slight|nasty"
        r"|terrible) )*(?P<allergy>[\w ]+) allergy",
        rf"(?:{_BE}|{_HAVE}(?:gone|went|turned|became|become|been) )(?:an? )?(?:strict )?(?P<diet>vegan"
        rf"|vegetarian|veggie|pescatarian|keto"
        rf"|flexitarian|gluten-free|teetotal)(?=[ ,]|$)",
        rf"(?:speak|speaks|speaking|{_BE}(?:fluent|bilingual) in"
        rf"|{_BE}a native speaker of) {_A}(?P<language>.+)",
        r"live at (?P<address>\d.+)",
        # countries
        rf"{_BE}(?:located |situated |a country |a state |a nation |a republic |an island "
        rf"|a kingdom )?(?:in|on the continent of) (?:the )?(?P<continent>.+)",
        r"(?:lies|lie|belongs|is part) (?:in|on the continent of|on|to|of) (?P<continent>.+)",
        r"(?:use|uses|adopted|has adopted|introduced) (?P<currency>.+?) as (?:its|their|the"
        r"|a) (?:\w+ )?currency",
        rf"(?:has|have) had (?P<currency>{_MONEY})",
        rf"(?:has|have) (?:had )?(?P<currency>{_MONEY}) as (?:its|their) currency",
        rf"(?:{_HAVE}(?:use|uses|adopted|introduced|switched to)) (?P<currency>{_MONEY})",
    )
)
"""Verb phrases after a subject, the more specific first."""

AT = re.compile(
    rf"(?:{_BE}|(?:have|has) been )(?:back )?(?:at|with) (?P<employer>{NAME})(?: now| again| these days)?$"
)
"""Where somebody is may be an employer: it is one if they are there for years, or if it is a company."""

TAKES_BACK = tuple(
    re.compile(pattern)
    for pattern in (
        rf"{_HAVE}(?:quit|left|leaving|resigned from|lost|gave up|given up|am leaving) (?:my|our|his"
        rf"|her|the|their) (?:[\w-]+ )?(?:job|position|post|role|work)(?: as .+?)?(?: (?:at|with"
        rf"|for) (?P<employer>.+))?$",
        rf"{_HAVE}(?:(?:was|were|got|been|be) )?(?:fired|laid off|let go|sacked|dismissed"
        rf"|made redundant|retired|resigned|quit|quit working)(?: (?:from|by|at"
        rf"|for) (?P<employer>.+))?$",
        rf"{_HAVE}(?:quit) (?P<employer>.+)",
        rf"{_HAVE}(?:left|departed from|parted ways with) (?P<employer>.+)",
        rf"(?:{_BE})(?:unemployed|out of work|jobless|between jobs)(?P<employer>$)",
        rf"(?:{_BE}|{_HAVE}got |got )(?:divorced|separated|widowed"
        rf"|single)(?: again)?(?: from (?P<spouse>.+))?$",
        rf"{_HAVE}(?:divorced|split up with|split from|separated from|broke up with"
        rf"|split with) (?P<spouse>.+)",
        rf"{_HAVE}(?:moved (?:away|out)(?: from| of)?|moved away from|moved out of) (?P<home>.+)",
        r"works? no longer there(?P<employer>$)",
        r"lives? no longer there(?P<home>$)",
        rf"{_HAVE}(?:had to (?:sell|scrap|get rid of)|sold|crashed|totalled|got rid of|scrapped"
        rf"|traded in) (?:my|our|his|her"
        rf"|the) (?P<car>.+)",
        rf"{_HAVE}(?:had to (?:give up|stop|quit)|given up|gave up|dropped|packed in|quit) (?P<pastime>.+)",
        rf"{_HAVE}(?:had to (?:give up|stop|quit)|given up|gave up|dropped|packed in"
        rf"|quit) (?P<instrument>.+)",
        rf"{_HAVE}(?:went off|gone off|lost interest in|grown tired of|fell out of love with) (?P<likes>.+)",
    )
)
"""Verb phrases that take a fact back; a group that is missing means "whatever the slot holds"."""

_S = rf"(?:I|me|we|us|[Hh]e|[Ss]he|[Ii]t|him|her|{NAME})"

WHOLE = tuple(
    (re.compile(pattern), relation)
    for pattern, relation in (
        (
            rf"(?:[Pp]eople|[Tt]hey|[Ee]veryone) in (?P<subject>{NAME}) (?:speak|speaks) (?P<object>.+)",
            "language",
        ),
        (
            rf"[Ii]n (?P<subject>{NAME}),? (?:people|they|everyone|you|we) (?:speak|speaks) (?P<object>.+)",
            "language",
        ),
        (rf"[Tt]hey pay (?:with|in|using) (?P<object>.+?) in (?P<subject>{NAME})", "currency"),
        (rf"[Tt]hey speak (?P<object>.+?) in (?P<subject>{NAME})", "language"),
        (
            rf"(?P<object>{NAME}) is (?:the (?:official |national )?language )?spoken in (?P<subject>{NAME})",
            "language",
        ),
        (
            rf"(?:[Pp]eople|[Tt]hey|[Ee]veryone) in (?P<subject>{NAME}) (?:pay|pays) (?:with"
            rf"|in) (?P<object>.+)",
            "currency",
        ),
        (
            rf"[Ii]n (?P<subject>{NAME}),? (?:people|they|you|we) (?:pay|pay with|pay in) (?:with |in"
            rf" )?(?P<object>.+)",
            "currency",
        ),
        (rf"[Ii]n (?P<subject>{NAME}),? (?:people|they|you|we) use (?P<object>{_MONEY})", "currency"),
        (
            r"(?P<subject>[Mm]y|[Oo]ur) (?:new |current )?(?:job|work|position"
            r"|office) is (?:now )?(?:at|with|for) (?P<object>.+)",
            "employer",
        ),
        (
            rf"(?P<object>{NAME}) (?:has )?(?:just |recently )?(?:hired|employs"
            rf"|employed) (?P<subject>{_S})\b",
            "employer",
        ),
        (rf"(?P<object>{NAME}) is where (?P<subject>{_S}) (?:was|were) born", "birthplace"),
        (rf"(?P<object>{NAME}) is where (?P<subject>{_S}) (?:now )?(?:live|lives|reside|resides)", "home"),
        (rf"(?P<object>{NAME}) is where (?P<subject>{_S}) (?:work|works)", "employer"),
        (
            rf"(?:[Aa]|[Oo]ne|[Aa]nother|[Tt]he) thing (?:that )?(?P<subject>{_S}) (?:really )?(?:like"
            rf"|likes|love|loves|enjoy|enjoys)(?: most| best)? is (?P<object>.+)",
            "likes",
        ),
        (
            rf"[Ww]hat (?P<subject>{_S}) (?:really )?(?:like|likes|love|loves|enjoy|enjoys)(?: most"
            rf"| best)? is (?P<object>.+)",
            "likes",
        ),
        (
            rf"(?P<object>[\w ]+?) is (?:something|a thing) (?:that )?(?P<subject>{_S}) (?:really "
            rf")?(?:like|likes|love|loves|enjoy|enjoys)",
            "likes",
        ),
        (
            rf"(?P<object>{NAME}) (?:took over|has taken over"
            rf"|is taking over) as (?:the )?(?:new )?(?:CEO|chief executive(?: officer)?) of "
            rf"(?P<subject>{NAME})",
            "chief_executive",
        ),
        (
            rf"(?P<subject>{NAME}) (?:has )?(?:just |recently )?(?:appointed|named|hired|elected|chose"
            rf"|made|promoted) (?P<object>{NAME})(?: as| to)? (?:its |the |their )?(?:new )?(?:CEO"
            rf"|chief executive(?: officer)?)",
            "chief_executive",
        ),
        (
            rf"(?:[Ii]t is|[Tt]his is) (?P<object>{NAME})(?:,? (?:here|speaking)(?: again)?"
            rf"|,? again)$(?P<subject>)",
            "name",
        ),
        (rf"(?P<object>{NAME}) here(?:$|,)(?P<subject>)", "name"),
        (r"(?P<object>[\w -]{3,30}?) allergy(?: here)?(?:$|,)(?P<subject>)", "allergy"),
        (r"(?P<object>[Vv]egan|[Vv]egetarian|[Vv]eggie|[Pp]escatarian) here(?:$|,)(?P<subject>)", "diet"),
        (rf"(?P<object>{values._STAR_SIGNS}) here\b(?P<subject>)", "star sign"),
        (rf"(?P<object>{NAME}) (?:co-?)?founded (?P<subject>{NAME})", "founder"),
        (
            rf"(?:[Tt]he (?:guy|man|woman|person|one) who |[Ww]ho )?(?:co-?)?founded (?P<subject>{NAME})"
            rf" is (?P<object>{NAME})",
            "founder",
        ),
        (rf"(?P<subject>{NAME}) was (?:co-?)?founded by (?P<object>{NAME})", "founder"),
        (
            r"[Ii]n (?P<subject>my|his|her) (?:free|spare) time,? (?:I|he|she) (?:mostly |usually |often )?"
            r"(?:do|does|go|goes|practi[cs]es?) (?P<object>.+)",
            "hobby",
        ),
        (
            r"(?:[Yy]ou can |[Jj]ust |[Pp]lease |[Mm]y friends |[Ff]riends |[Pp]eople |[Ee]veryone "
            r"|[Ee]verybody |(?:at|in) [a-z]+ |[Tt]hey |[Mm]y (?:parents|family|folks|mates)"
            r" )*(?:[Cc]alls?|knows?|named) (?P<subject>me)(?: as)? (?P<object>.+)",
            "name",
        ),
    )
)
"""Clauses whose subject and object stand in an order of their own."""

LEADS = re.compile(
    rf"(?P<object>{NAME}) (?:now |currently )?(?:leads|heads|runs|has (?:led|headed|run)|is in charge of"
    rf"|is at the head of) (?P<subject>{NAME})"
)
COUPLE = re.compile(
    rf"(?:[Mm]e and )?(?P<subject>{NAME})(?:,? and (?P<object>I|me|{NAME}))? (?:are (?:now |still "
    rf"|both )?|(?:have )?(?:just |recently |finally )?(?:got |gotten |been )?)"
    r"(?P<what>no longer (?:married|together)|together|divorced|separated|split up|split(?=$|,"
    r"|\s(?:last|in|on|a|this|after))|broke up|broken up"
    r"|married|wed|a married couple|husband and wife|not married anymore)\b"
)
INVERSE = re.compile(
    rf"(?P<object>\"?[\w][\w' .&-]{{0,50}}?\"?) (?:is|are|has been|have been|was appointed|was named"
    rf"|has become|became"
    rf"|was elected) {_A}"
    rf"(?:the name of )?(?P<owner>[Mm]y|our|his|her|its|their|{NAME}'s?) (?P<noun>[\w][\w '-]*)"
)
INVERSE_OF = re.compile(
    rf"(?:The |the )?(?P<object>{NAME}|[a-z][\w -]{{0,30}}?) (?:is|are|has been|was appointed|was named"
    rf"|has become|became|was elected) {_A}"
    rf"(?:as )?(?:the )?(?:new |current )?(?P<noun>{HEADS}|name) (?:of|(?<=CEO )(?:at|for)"
    rf"|(?<=executive )(?:at|for)) (?P<owner>my|our|his|her"
    rf"|{NAME})(?: (?P<owned>[a-z][\w -]*))?"
)
ATTRIBUTE = re.compile(
    rf"(?P<owner>[Mm]y|[Oo]ur|[Hh]is|[Hh]er|[Ii]ts|[Tt]heir"
    rf"|{NAME}'s?) (?P<noun>[\w][\w '-]{{0,45}}?)(?P<named>'s name|' names?)?"
    rf" (?P<link>(?:is|are|was|include|includes|has {_A}been|have {_A}been) {_A}(?:called |named "
    rf"|spelled |spelt |written )?"
    rf"|was named |answers to |goes by )(?:in "
    rf"|at (?!\d)|on )?(?P<value>.+)"
)
ATTRIBUTE_OF = re.compile(
    rf"[Tt]he (?P<noun>[\w][\w '-]{{0,40}}?) (?:of|in|at) (?P<owner>my|our|his|her"
    rf"|{NAME})(?: (?P<owned>[a-z][\w -]*?))?"
    rf" (?P<link>(?:is|are|has been|was moved to|moved to) {_A}(?:called |named )?)(?:in |at )?(?P<value>.+)"
)
ONE_OF = re.compile(
    rf"[Oo]ne of (?P<owner>my|our|his|her|{NAME}'s?) (?P<noun>[\w][\w '-]{{0,45}}?) (?P<link>is "
    rf"{_A}(?:called |named )?)(?P<value>.+)"
)
HAS = re.compile(
    rf"{_HAVE}(?:have|has|had|got|own|owns|adopted|bought|raise|gave birth to|welcomed) (?P<count>an?"
    rf"|one|two|three|four|five|six|seven|[2-9]|a couple of|another|my|our|(?=twins|kids"
    rf"|children)) ?(?P<noun>[a-z][\w '-]{{0,40}}?)"
    rf"(?: (?:called|named|whose names? (?:is|are)|by the name of)|,|:| \() ?(?:called |named "
    rf"|whose name is )?(?P<value>{NAME}.*)"
)
ROLE = "|".join(sorted(ROLES, key=len, reverse=True))
HAS_MORE = re.compile(
    rf",? and (?:an?|my|our) (?P<noun>(?:[a-z]+ )?(?:{ROLE}))(?:,| called| named) (?P<value>{NAME})"
)
_OF_COUNTRIES = r"(?:official |national |main )?(?:capital(?: city)?|currency|language)"
UNCAPITALISED = (
    re.compile(r"^[Ii]n (?P<name>[a-z]+) (?=(?:they|people|everyone) (?:speak|use|pay)\b)"),
    re.compile(rf"^(?P<name>[a-z]+)(?= (?:uses?|speaks?) the {_MONEY})"),
    re.compile(
        rf"(?P<whose>\b(?:[Mm]y"
        rf"|[Oo]ur) (?:[a-z]+ )?(?:{'|'.join(sorted(ROLES, key=len, reverse=True))})) (?P<name>[a-z]{{2,}}) "
        r"(?=(?:is|works?|lives?|loves?|likes?|has|was|speaks?|plays?|drives?|hates?|studies|moved"
        r"|turned|got)\b)"
    ),
    re.compile(rf"\b(?:{_OF_COUNTRIES}) of (?P<name>[a-z]+(?: [a-z]+)?)(?= (?:is|are)\b|$)"),
    re.compile(rf"^(?P<name>[a-z]+(?: [a-z]+)?)(?='s (?:{_OF_COUNTRIES}) is\b)"),
    re.compile(
        r"^(?P<name>[a-z]+(?: [a-z]+)?)(?= is in (?:the )?(?:africa|asia|europe|oceania|(?:north"
        r"|south) america)\b)"
    ),
)
"""Who types without any capital: "my wife rachel works at tesco"."""
_A_PAIR = rf"(?P<names>{NAME}(?:, {NAME})*,? (?:and|&) {NAME})"
PETS_OR_KIN = re.compile(
    rf"(?P<owner>\b[Mm]y|\b[Oo]ur|\b[Hh]is|\b[Hh]er|{NAME}'s) (?:(?:two|three|four"
    rf"|[2-5]) )?(?:[a-z-]+ )?(?P<noun>[a-z-]+s),? "
    rf"{_A_PAIR},?(?= |$)"
)
"""Several at once: "our two cats, Miso and Tofu, keep ..."."""
APPOSITIVE = re.compile(
    rf"(?<![Cc]all )(?<![Nn]ame )(?P<owner>\b[Mm]y|\b[Oo]ur|\b[Hh]is|\b[Hh]er|{NAME}'s) (?P<noun>(?:[a-z-]+ "
    rf")?(?:{'|'.join(sorted(ROLES | set(RELATIVES), key=len, reverse=True))}))"
    rf"(?:, | )(?:called |named )?(?P<name>{NAME})(?!'s? \w+ (?:is|are)),?(?= |$)"
)
NAME_FIRST = re.compile(
    rf"(?<![\w'])(?<!name is )(?:Meet )?(?P<name>(?!Meet ){NAME}), (?P<owner>my|our|his|her"
    rf"|{NAME}'s) (?:(?!best )[a-z-]+ ){{0,2}}?(?P<noun>(?:best )?(?:{ROLE}))(?:, |$)"
)
WHO_IS = re.compile(
    r"(?P<is>(?P<be>am|is) (?:an? )?[\w' -]+?),? (?:who is |currently |now )*"
    r"(?P<who>(?:living|based|residing) in .+|working (?:at|for|as|in) .+|married to .+"
    r"|(?:originally )?from (?=[A-Z]).+)$"
)
ELIDED_FORMS = {"be": "am ", "was": "was ", "have": "have ", "did": ""}
ELIDED = re.compile(
    r"(?:just |recently |finally |now |still |currently |happily "
    r"|originally )*(?P<verb>(?P<have>been (?:vegan|vegetarian|living|"
    r"working|based|married|an? |at |with |in |playing|learning|studying))|(?P<was>born )"
    r"|(?P<be>(?:based|living|working|employed|studying|allergic to|married to|engaged to"
    r"|originally from|fluent in"
    r"|vegan|vegetarian|veggie|pescatarian|(?:an? )?(?:huge|big|massive) fan of|obsessed with|mad about"
    r"|into|from (?=[A-Z])"
    r"|born and raised in|reading|doing (?:an?|my))(?=[ ,]|$) ?"
    r"(?!.*\b(?:is|was|are|has|can|makes?|sucks|feels?|means|costs?|takes?|gets?|seems)\b))"
    r"|(?P<did>moved |relocated |joined |turned |grew up |lived in |studied |had to |had an? |gave up "
    r"|sold my |sold the "
    r"|got (?:hired|married|a new job|engaged|an? |two |three |my )|bought an? |did my |(?:absolutely "
    r"|really )?(?:love|loathe|hate"
    r"|adore|detest|dislike) (?!you|this|that|it\b|how|when|the\b|your)"
    r"|do not (?:like|love|enjoy|work|live) |speak |drive an? |have an? "
    r"|have two |started (?:at"
    r"|as|working) "
    r"|quit |live in |work (?:at|for|as) |divorced))"
)
TWO_PEOPLE = re.compile(
    rf"(?:[Bb]oth )?(?P<one>(?!Both ){NAME}) and (?P<other>{NAME}) (?:are )?(?:both )?(?=(?:are|live"
    rf"|work|speak|love|like"
    rf"|hate|moved|come"
    rf"|study) )"
)
PAIR_WITH_ME = re.compile(rf"(?:(?:[Mm]y|our) [a-z]+|{NAME}) and I |[Mm]e and (?:my [a-z]+|{NAME}) ")
ROLE_SUBJECT = re.compile(
    rf"(?P<owner>[Mm]y|[Oo]ur|[Hh]is|[Hh]er|{NAME}'s) (?P<noun>(?:(?:older|younger|little|big|twin"
    rf"|other|second|best|elder|new) )?(?:{'|'.join(sorted(ROLES, key=len, reverse=True))})) "
    rf"(?=[a-z])"
)
SPEAKING_AS = re.compile(r"(?:(?:[Aa]s|[Ss]peaking as)(?= an? )|[Bb]eing) ([\w -]+)")
AT_AGE = re.compile(r"[Aa]t (\d\d)")
# "As a student I lived in Rome" tells of what was.
I_FOLLOW = re.compile(
    r",?\s+(?:(?:what|where|which|how)?\s?(?:(?:can|do|should|could|would|\w+)\s){0,2}?(?:[Ii]|we)"
    r"|my)\b(?!\s+(?:was|were|had|did|used|went|came|saw|took|met|got|made|thought|knew"
    r"|felt|spent|\w+ed)\b)"
)
# "At 63, I'm still running" tells an age, "At 21 I left home" the past and "At 10 I'm seeing Tom" an hour.
I_AM_NOW = re.compile(r",\s+I(?:'m|\s+am)\s+(?!\w+ing\b)|,?\s+I(?:'m|\s+am|'ve)?\s+still\b", re.IGNORECASE)
CHIEF_OF = re.compile(
    rf"(?:is|has been) {_A}(?:the )?(?:new |current )?(?:CEO|ceo|chief exec(?:utive(?: officer)?)?"
    rf"|managing director|MD|head|boss)"
    rf" (?:of|at) (?P<company>{NAME})"
)
IS_CHIEF = re.compile(
    r"is (?:now |still |currently )?(?:the|its|their) (?:new |current )?(?:CEO|chief executive(?:"
    r" officer)?)(?: there| now)*(?=$|,)"
)
BESIDE_A_NAME = re.compile(
    rf"^(?P<name>{NAME})(?P<comma>,)? (?P<what>an? \w[\w -]{{2,30}}?|\d\d"
    rf"|(?:based|headquartered|living) (?:in|at) {NAME})(?:, (?=[a-z])|$)"
)
IS_GONE = re.compile(
    r"\b(?:(?:has |have )?(?:sadly |just |recently )?(?:died|passed away|passed)$|(?:had to|have|has"
    r"|we) (?:rehomed?|give up|given up|put"
    r" down|put to sleep|say goodbye to|lost|gave away|give away)\b)"
)
"""What becomes of a pet that somebody no longer has."""
OWNED = re.compile(
    rf"\b(?:[Mm]y|[Oo]ur) (?:(?:old|new|little|trusty|dear|ancient"
    rf"|poor) )*(?P<what>{NAME}(?: \d+[a-z]?)?|pixel \d+"
    rf"|iphone \d*)"
)
HAVING = re.compile(r"(?:I|[Ww]e) (?:have|own|keep) (?:got )?")
LEFT = re.compile(
    r"(?:(?:have|has) )?(?:\w+ )?(?:left|departed from|parted ways with) (?!(?:my|our|his|her|the|their) )"
)
BASED = re.compile(r"(?:is|has been) (?:\w+ )?based ")
VERB_IN_TOPIC = re.compile(r"\b(?:is|are|was|has|lives|works|likes|loves|speaks|plays|moved|got)\b")
# "My boss at work" is my boss, "my favourite thing to do on Sundays" something that I like.
WHERE_KNOWN = re.compile(r" (?:at|from) (?:work|school|home|uni|university|college|church|the office)$")
TOPICS = {
    "where I live": "home",
    "where I work": "employer",
    "who I work for": "employer",
    "how old I am": "age",
    "what I do": "profession",
    "who I am married to": "spouse",
    "when I was born": "birthday",
    "where I was born": "birthplace",
    "what I am called": "name",
    "what I like": "likes",
}
"""What "forget ..." may name instead of stating it."""


def singular(noun: str) -> str:
    """The singular of a plural noun, as far as the nouns of relations need it."""
    for plural, singular in (("wives", "wife"), ("children", "child"), ("hobbies", "hobby"), ("ies", "y")):
        if noun.endswith(plural):
            return noun.removesuffix(plural) + singular
    return noun.removesuffix("s") if not noun.endswith(("ss", "us")) else noun


def is_favourite(relation: str) -> bool:
    return relation.startswith(("favourite ", "favorite "))
