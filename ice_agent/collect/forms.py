"""The ways in which people state a fact, as tables: nouns and whole clauses. Verb phrases are `predicates`.

A named group of a pattern is the relation that it fills: `lives in (?P<home>.+)`.
"""

from __future__ import annotations

import re

from ice_agent.collect import values
from ice_agent.collect.names import NAME
from ice_agent.collect.predicates import ANY_ADVERBS, HAVE, MONEY

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
    "flatmate": values.people,
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

BREEDS = values.words("dog_breeds") | values.words("cat_breeds")

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

_S = rf"(?:I|me|we|us|[Hh]e|[Ss]he|[Ii]t|him|her|{NAME})"

WHOLE = tuple(
    (re.compile(pattern), relation)
    for pattern, relation in (
        (
            rf"(?:(?:[Mm]ost )?[Pp]eople|[Tt]hey|[Ee]veryone) in (?P<subject>{NAME}) (?:mostly )?(?:speak"
            rf"|speaks) (?P<object>.+)",
            "language",
        ),
        (
            rf"[Ii]n (?P<subject>{NAME}),? (?:(?:most |many )?people|they|everyone|you|we) (?:mostly |all "
            rf")?(?:speak|speaks) (?P<object>.+)",
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
        (rf"[Ii]n (?P<subject>{NAME}),? (?:people|they|you|we) use (?P<object>{MONEY})", "currency"),
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
            rf" is (?:called |named |(?:an?|some) [a-z]+ (?:called|named) )?(?P<object>{NAME})",
            "founder",
        ),
        (
            rf"(?P<subject>{NAME}) was (?:co-?)?(?:founded|started|set up) by"
            rf" (?:an? [a-z ]{{2,20}}? (?:called|named) )?(?P<object>{NAME})",
            "founder",
        ),
        (
            r"(?:[Yy]ours(?: sincerely| faithfully| truly)?|(?:[Kk]ind |[Bb]est |[Ww]arm )?[Rr]egards"
            rf"|[Bb]est wishes|[Ss]incerely|[Aa]ll the best),? (?P<object>{NAME})$(?P<subject>)",
            "name",
        ),
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
    rf"(?P<object>{NAME}) (?:now |currently )?(?:leads|heads|runs?|has (?:led|headed|run)|is in charge of"
    rf"|is at the head of) (?P<subject>{NAME})"
)
INVERSE = re.compile(
    rf"(?P<object>\"?[\w][\w' .&-]{{0,50}}?\"?) (?:is|are|has been|have been|was appointed|was named"
    rf"|has become|became"
    rf"|was elected) {ANY_ADVERBS}"
    rf"(?:the name of )?(?P<owner>[Mm]y|our|his|her|its|their|{NAME}'s?) (?P<noun>[\w][\w '-]*)"
)
INVERSE_OF = re.compile(
    rf"(?:The |the )?(?P<object>{NAME}(?: [a-z]+)?|[a-z][\w -]{{0,30}}?) (?:is|are|has been|was appointed"
    rf"|was named"
    rf"|has become|became|was elected) {ANY_ADVERBS}"
    rf"(?:as )?(?:the )?(?:new |current )?(?P<noun>{HEADS}|name) (?:of|(?<=currency )in|(?<=language )in"
    rf"|(?<=CEO )(?:at|for)"
    rf"|(?<=executive )(?:at|for)) (?P<owner>my|our|his|her"
    rf"|{NAME})(?: (?P<owned>[a-z][\w -]*))?"
)
ATTRIBUTE = re.compile(
    rf"(?P<owner>[Mm]y|[Oo]ur|[Hh]is|[Hh]er|[Ii]ts|[Tt]heir"
    rf"|{NAME}'s?) (?P<noun>[\w][\w '-]{{0,45}}?)(?P<named>'s name|' names?)?"
    rf" (?P<link>(?:is|are|was|include|includes|has {ANY_ADVERBS}been|have {ANY_ADVERBS}been) "
    rf"{ANY_ADVERBS}(?:called |named "
    rf"|spelled |spelt |written )?"
    rf"|was named |answers to |goes by )(?:in "
    rf"|at (?!\d)|on )?(?P<value>.+)"
)
ATTRIBUTE_OF = re.compile(
    rf"[Tt]he (?P<noun>[\w][\w '-]{{0,40}}?) (?:of|in|at) (?P<owner>my|our|his|her"
    rf"|{NAME})(?: (?P<owned>[a-z][\w -]*?))?"
    rf" (?P<link>(?:is|are|has been|was moved to|moved to) {ANY_ADVERBS}(?:called |named )?)(?:in |at "
    rf")?(?P<value>.+)"
)
ONE_OF = re.compile(
    rf"[Oo]ne of (?P<owner>my|our|his|her|{NAME}'s?) (?P<noun>[\w][\w '-]{{0,45}}?) (?P<link>is "
    rf"{ANY_ADVERBS}(?:called |named )?)(?P<value>.+)"
)
HAS = re.compile(
    rf"{HAVE}(?:have|has|had|got|own|owns|adopted|bought|raise|gave birth to|welcomed) (?P<count>an?"
    rf"|one|two|three|four|five|six|seven|[2-9]|a couple of|another|my|our|(?=twins|kids"
    rf"|children)) ?(?P<noun>[a-z](?:(?! and )[\w '-]){{0,40}}?)"
    rf"(?: (?:called|named|whose names? (?:is|are)|by the name of)|,|:| \() ?(?:an? [a-z]+ )?(?:called "
    rf"|named "
    rf"|whose name is )?(?P<value>{NAME}.*)"
)
ROLE = "|".join(sorted(ROLES, key=len, reverse=True))
HAS_MORE = re.compile(
    rf",? and (?:an?|my|our) (?P<noun>(?:[\w-]+ ){{0,2}}?(?:{ROLE}))(?:,| called| named) (?P<value>{NAME})"
)
_OF_COUNTRIES = r"(?:official |national |main )?(?:capital(?: city)?|currency|language)"
UNCAPITALISED = (
    re.compile(
        rf"^(?P<name>(?!(?:{ROLE})\b)[a-z]{{3,}})(?= and (?:I|me) (?:are|have|got|split|broke|were)\b)"
    ),
    re.compile(r"^[Ii]n (?P<name>[a-z]+) (?=(?:they|people|everyone) (?:speak|use|pay)\b)"),
    re.compile(rf"^(?P<name>[a-z]+)(?= (?:uses?|speaks?) the {MONEY})"),
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
OUR_BAKER = re.compile(
    rf"(?<![\w'])(?P<owner>[Mm]y|[Oo]ur) (?:(?:new|old|lovely|regular|local|own) )?(?P<noun>[a-z]+(?: "
    rf"[a-z]+)?)"
    rf"(?: (?:in|at|from) {NAME})?,? (?:called |named )?(?P<name>{NAME}),?(?= [a-z]|$)"
)
BAKER_FIRST = re.compile(rf"^(?P<name>{NAME}), (?P<owner>my|our) (?:[a-z]+ )?(?P<noun>[a-z]+),(?= [a-z]|$)")
OF_COUNTRIES = re.compile(r"(?:use|have|speak|pay)\b")
WITH_SEVERAL = re.compile(
    rf"^(?P<owner>I|We|we) .*? (?:with|and) (?:two|three|four|[2-5]) (?:[a-z-]+ )?(?P<noun>[a-z-]+s),? "
    rf"(?:called |named )?"
    rf"{_A_PAIR},?(?= |$)"
)
THE_ONE = re.compile(
    rf"(?:[Tt]he|[Oo]ur|[Mm]y) (?P<what>(?:(?!(?:of|at|from|in) )[a-z-]+ ?){{1,3}}?)"
    rf"(?: ?(?:at|from|in|on) [\w' ]{{2,25}})?, (?P<name>{NAME})$"
)
"""A clause that only says who comes next: "The headmistress, Sister Assumpta, keeps bees"."""
APPOSITIVE = re.compile(
    rf"(?<![Cc]all )(?<![Cc]alls )(?<![Cc]alled )(?<![Nn]ame )(?P<owner>\b[Mm]y|\b[Oo]ur|\b[Hh]is"
    rf"|\b[Hh]er|{NAME}'s) "
    rf"(?P<noun>(?:[A-Z]?[a-z-]+ "
    rf"){{0,2}}?(?:{'|'.join(sorted(ROLES | BREEDS | set(RELATIVES), key=len, reverse=True))}))"
    rf"(?:, | )(?:called |named )?(?P<name>{NAME})(?!'s? \w+ (?:is|are)),?(?= |$)"
)
NAME_FIRST = re.compile(
    rf"(?<![\w'])(?<!name is )(?:Meet )?(?P<name>(?!Meet ){NAME}), (?P<owner>my|our|his|her"
    rf"|{NAME}'s) (?P<former>former |previous |ex[- ])?(?:(?!best )[a-z-]+ ){{0,2}}?"
    rf"(?P<noun>(?:best )?(?:{ROLE}))(?:, |$)"
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
    rf"(?:is|has been) {ANY_ADVERBS}(?:the )?(?:new |current )?(?:CEO|ceo|chief exec(?:utive(?: officer)?)?"
    rf"|managing director|MD|head|boss)"
    rf" (?:of|at) (?P<company>{NAME})"
)
IS_CHIEF = re.compile(
    r"is (?:now |still |currently )?(?:the|its|their) (?:new |current )?(?:CEO|chief executive(?:"
    r" officer)?)(?: there| now)*(?=$|,)"
)
BESIDE_A_NAME = re.compile(
    rf"^(?P<name>{NAME})(?P<comma>,)? (?P<what>(?:an?|the) \w[\w -]{{2,30}}?|\d\d"
    rf"|(?:based|headquartered|living) (?:in|at) {NAME})(?:, (?=[a-z])|$)"
)
IS_GONE = re.compile(
    r"\b(?:(?:has |have )?(?:sadly |just |recently )?(?:died|passed away|passed)(?:$| (?:on|in|last|this"
    r"|yesterday|peacefully|at)\b)|(?:had to|have|has"
    r"|we) (?:(?:give|put|let) (?:\w+ ){1,3}?(?:away|up|down|go)$|rehomed?|give up|given up|put"
    r" down|put to sleep|say goodbye to|lost|gave away|give away)\b)"
)
"""What becomes of a pet that somebody no longer has."""
OWNED = re.compile(
    rf"\b(?:[Mm]y|[Oo]ur) (?:(?:old|new|little|trusty|dear|ancient"
    rf"|poor) )*(?P<what>{NAME}(?: \d+[a-z]?)?|pixel \d+"
    rf"|iphone \d*)"
)
GIVEN_AWAY = re.compile(
    r"\b(?:gave|given|giving|sold|selling|scrapped|lost|crashed|donated|swapped|traded|rid of|used to)\b"
)
HAVING = re.compile(r"(?:I|[Ww]e) (?:have|own|keep) (?:got )?")
MOVED_OUT = re.compile(r"(?:has |have )?(?:just |recently |finally )?moved (?:out|away)$")
FELT_ANEW = re.compile(
    r"\bnow\b(?! and| that)(?<!right now)|\b(?:nowadays|these days)\b|\b(?:come|grown|learned|learnt) to\b",
    re.IGNORECASE,
)
"""What makes a change of a taste: who hates olives now may have liked them."""
BASED = re.compile(r"(?:is|has been) (?:\w+ )?based ")
UP_IN = re.compile(
    rf"(?:^| )(?:(?:up|down|over|out|based|living|here|originally) )*(?P<link>in|from) (?P<place>{NAME})$"
)
# "My boss at work" is my boss, "my favourite thing to do on Sundays" something that I like.
WHERE_KNOWN = re.compile(r" (?:at|from) (?:work|school|home|uni|university|college|church|the office)$")


def singular(noun: str) -> str:
    """The singular of a plural noun, as far as the nouns of relations need it."""
    for plural, singular in (("wives", "wife"), ("children", "child"), ("hobbies", "hobby"), ("ies", "y")):
        if noun.endswith(plural):
            return noun.removesuffix(plural) + singular
    return noun.removesuffix("s") if not noun.endswith(("ss", "us")) else noun


def is_favourite(relation: str) -> bool:
    return relation.startswith(("favourite ", "favorite "))
