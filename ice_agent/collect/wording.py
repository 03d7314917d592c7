"""A clause in plain words: contractions written out, and what is said in another order put straight.

Grammar and spelling only; what the words then say is for the patterns of `forms`.
"""

from __future__ import annotations

import re

from ice_agent.collect import forms, values
from ice_agent.collect.names import NAME


def written_out(words: str) -> str:
    words = _AT_THE_END.sub("", words)
    words = _IN_BETWEEN.sub("", words)
    words = _KIN.sub(lambda kin: f"my {kin[0].lower()}", words)
    for pattern, replacement in _CONTRACTIONS:
        # Most do not match, and to look first is half the time: what replaces is read before it is tried.
        if pattern.search(words):
            words = pattern.sub(replacement, words)
    return words


def as_begun(words: str) -> str:
    """What begins on a day, in the words of what is."""
    for pattern, replacement in _BEGINS:
        words = pattern.sub(replacement, words)
    return words


_STATES = r"(?:living|working|based|studying|running|leading|an?|the|CEO|head|with|at|married|called)"
_BEGINS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (rf"\b(I|i) (?:will|shall) be (?={_STATES}\b)", r"\1 am "),
        (rf"\b(?:will|shall) be (?={_STATES}\b)", "is "),
        (r"\b(?:will|shall) move\b", "moved"),
        (
            r"\b(?:will|shall) (?=(?:live|work|have|run|lead|head|study|start|join|begin|become|use"
            r"|take over)\b)",
            "",
        ),
        (
            r"\b(?:am|are|is) (?:going to )?(?:mov(?:e|ing)|relocat(?:e|ing)) (?=(?:from [\w ]+ )?to\b)",
            "moved ",
        ),
        (
            r"\b(?:am|are|is) (?:going to )?(?:start|begin)(?:n?ing)? (?:work |working |a job |a new"
            r" job )?(?=(?:at|with|as) )",
            "work ",
        ),
        (
            r"\b(?:start|begin)s? (?:work |working |a job |a new job |my new job )?(?=(?:at|with|as) )",
            "work ",
        ),
        # "I'm joining Anna on Friday" is no job.
        (rf"\b(?:am|are|is) (?:going to )?join(?:ing)? (?={NAME} as\b|[A-Z]\w+ [A-Z])", "joined "),
        (r"\b(?:move|relocate)s? (?=(?:to|its|their|the)\b)", "moved "),
        (r"\b(?:am|are|is) becom(?:e|ing) (?=an?\b)", "am "),
    )
)

# "Mum is a nurse" is about mine; "Nan Goldin" is a name.
_KIN = re.compile(
    r"^(?:[Mm]um|[Mm]om|[Dd]ad|[Mm]ummy|[Dd]addy|[Gg]randma|[Gg]ranny|[Gg]ran|[Nn]an|[Nn]ana|[Gg]randpa"
    r"|[Gg]ran?dad|Mother|Father|Grandmother|Grandfather|Auntie)"
    r"\b(?=(?:'s)? [a-z])"
)
# "Vegan btw", "I live in Leeds lol".
_AT_THE_END = re.compile(
    r"(?:[ ,]+(?:btw|lol|lmao|pls|plz|please|haha+|ngl|tbh|tho|fyi|imo|rn|atm|mate|thanks|thx|ta|ffs"
    r"|smh|ugh|yay|xx?|argh"
    r"|imagine|obviously|honestly|sadly|no contest|right|cheers))+$",
    re.IGNORECASE,
)
_IN_BETWEEN = re.compile(r"[ ,]+(?:btw|lol|lmao|fyi|tbh|ngl|haha+)(?=,)")
_BY_ROLE = rf"(?:{forms.ROLE})"
_RELATED = (
    r"(?:colleague|coworker|co-worker|friend|mate|neighbou?r|cousin|classmate|teammate|flatmate"
    r"|housemate|roommate|nephew"
    r"|niece|flat mate|workmate|pal|buddy)"
)
_KIN_TITLE = (
    r"(?:[Uu]ncle|[Aa]unt(?:ie|y)?|[Cc]ousin|[Gg]rand(?:ma|pa|dad|ad|mother|father)|[Gg]ran(?:ny)?"
    r"|[Nn]an(?:a)?|nephew|niece"
    r"|brother|sister|(?:brother|sister|mother|father|son|daughter)[ -]in[ -]law|step(?:dad|mum|mom"
    r"|father|mother|son"
    r"|daughter|brother|sister)|mum|mom|dad|wife|husband|hubby|gf|bf|girlfriend|boyfriend|fianc[eé]e?"
    r"|flatmate|colleague"
    r"|neighbou?r|boss|son|daughter|bestie|roommate|housemate)"
)
_SOMEONE = r"(?:lad|guy|man|woman|girl|fella|fellow|bloke|lady|boy|chap)"
_ANIMAL = "|".join(sorted(values.words("animals"), key=len, reverse=True))
_VERB = (
    r"(?:is|was|works?|lives?|has|speaks?|drives?|loves?|likes?|hates?|plays?|studies|moved|turned|supports"
    r"|comes|keeps|got|runs|owns|teaches|married|joined|left|used|does|can't|cannot)\b"
)
_ASKED_FOR = (
    r"(?i:(?:full |first )?name|birthday|date of birth|hometown|job|profession|occupation|employer|diet"
    r"|age|height"
    r"|nationality|hobby|star sign|allergy|car|phone|university|favou?rite [a-z]+)"
)
_WHO = rf"(?:I|[Ww]e|[Hh]e|[Ss]he|[Mm]y [a-z]+|{NAME})"
_FEELS = r"(?:likes?|loves?|enjoys?|adores?|hates?|detests?|dislikes?|loathes?|hate)"
_THING = (
    r"(?:[a-z]+ )?(?:company|firm|place|shop|school|hospital|studio|city|town|village|country|man|woman"
    r"|guy|girl|person|organisation"
    r"|organization|university|bank|agency|start-?up|language|car)"
)
_TO = (
    r"(?:works? (?:for|at|with)|lives? in|moved to|(?:was|were) born in|comes? from|(?:am|is) from"
    r"|married|(?:am|is) married to|studi?e?[sy]+ at|grew up in"
    r"|speaks?|drives?|hails? from|reside[s]? in)"
)
_CONTRACTIONS = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        # Smileys and the like say nothing that is kept.
        (r"\s*(?:[:;=]-?[()DPp3]+|<3|[\u2600-\u27bf\U0001f300-\U0001faff]+)(?=\s|$)", ""),
        (r"\b(do|does|did|is|are|was|were|has|have|would|could|should)n'?t\b", r"\1 not"),
        (r"\b([Cc])ant\b", r"\1an not"),
        (r"\b([Ww])ont\b(?= [a-z])", r"\1ill not"),
        (r"\b([Ss]?[Hh]e|[Tt]hat|[Ww]ho|[Tt]here|[Ww]here|[Ww]hat)s\b", r"\1 is"),
        (r"^([Ii]t)s (?=[A-Z\d]|an?\b|the\b|my\b|me\b|in\b|called\b|not\b|[a-z]+$)", r"\1 is "),
        (r"\b([Tt]hey|[Yy]ou)re\b", r"\1 are"),
        (r"\bu\b", "you"),
        (r"\bw\b(?= [a-z])", "with"),
        (r" n (?=\w)", " and "),
        (r"\b(brother|sister|mother|father|son|daughter) in law\b", r"\1-in-law"),
        (r"\b[Ii]ve\b", "I have"),
        (r"\b[Ii]'?m\b(?=\s)", "I am"),
        (r"\bi\b(?!\.)", "I"),
        (r"(?<=\w)'re\b", " are"),
        (r"(?<=\w)'ve\b", " have"),
        (r"(?<=\w)'ll\b", " will"),
        (r"(?<=\w)'d\b", " would"),
        (r"\b([Cc])an't\b", r"\1an not"),
        (r"\b([Ww])on't\b", r"\1ill not"),
        (r"(?<=[a-z])n't\b", " not"),
        (r"\b(?:all-time )?fav(?:e|ou?rites?)?(?= [a-z])(?! of\b)", "favourite"),
        (r"\b(favourite [a-z]+)'s (?=[\w -]+$)", r"\1 is "),
        (r"(?<=\w) (?:of all time|on earth|in the world|ever)(?= (?:is|are)\b)", ""),
        # "I can't stand olives any more" begins what it names, and ends nothing of the kind.
        (r"\b[Cc]an no longer (?:stand|bear) ([^,]+)$", r"hate \1 now"),
        (r"\b[Cc]an ?not (?:stand|bear) ([^,]+?) any ?(?:more|longer)$", r"hate \1 now"),
        (r"\b[Cc]an ?not (?:really )?(?:stand|bear)\b", "hate"),
        (r"\bcan ?not get enough of\b", "love"),
        (r"\b(am|is) (?:not married any ?(?:more|longer)|no longer married)$", r"\1 divorced"),
        # Who is retired now had a job until now.
        (r" (?:am|is|are) (?:now retired|retired (?:now|these days))$", " have retired"),
        (r" ha(?:ve|s) (?:come|grown|learned|learnt) to (?=(?:like|love|enjoy|hate|detest|dislike)\b)", " "),
        (r"^[Mm]y ([\w ]+) allergy (?:is|has) (?:gone|disappeared|cleared up)$", r"I outgrew my \1 allergy"),
        # "Henrike (my boss)", "Radek (fiancé)" and "the mother-in-law (Svetlana)" say who that is.
        (rf"({NAME}) \((?:my |our )?({_BY_ROLE})\)", r"my \2 \1"),
        (rf"\b(?:[Tt]he|[Mm]y|[Oo]ur) ({_BY_ROLE}|[a-z]+-in-law) \(({NAME})\)", r"my \1 \2"),
        (
            rf"^(?:[Ii]t is |[Ff]or )?({NAME}), (?:the |an? )(?:[a-z]+ )?({_RELATED})(?: of mine)?(?=,"
            rf"| is\b|$)",
            r"my \2 \1",
        ),
        (rf"^({NAME}), that is my ({_BY_ROLE})\b,?", r"my \2 \1"),
        (rf"^({_KIN_TITLE}) (?={NAME}(?:'s)?(?: |,|$))", lambda m: f"my {m[1].lower()} "),
        (
            r"(?i)^(step[a-z]+|sis|bro|hubby|gf|bf|fianc[eé]e?|flatmate|boss|[a-z]+-in-law|wife|husband"
            r"|boyfriend|girlfriend)(?=(?:'s| is| works?| lives?| has| just) )",
            lambda m: f"my {m[1].lower()}",
        ),
        (r"\bmy gf\b", "my girlfriend"),
        (r"\bmy bf\b", "my boyfriend"),
        # "Birthday is 12 August", "Fave film is Paddington" and "Name's Tadeo" are about the speaker.
        (r"^[Nn]ame'?s (?=[A-Z])", "my name is "),
        (
            r"^(?=(?:favou?rite \w+|fav(?:e|ou?rite)? \w+|b-?day|birthday|surname|hometown|hobby"
            r"|star sign|diet|nationality|height|age|job|mother tongue)(?:'s| is| =) )",
            "my ",
        ),
        (r"^(my [a-z]+(?: [a-z]+)?(?:'s name)?) = ", r"\1 is "),
        (r"^(\w+) is (?=my sign$)", r"\1 is "),
        (rf"^({NAME})'s (?=\d)", r"\1 is "),
        (rf"^({NAME})(?:'s| is) the name\b(?! of).*", r"my name is \1"),
        (
            rf"^({NAME}) (?:is|has been) an? (former )?(?:[a-z]+ )?({_BY_ROLE}) of mine\b",
            r"\1 is my \2\3",
        ),
        # "Working at Acme gets me a discount" takes it for granted that I do.
        (
            r"^(Living|Working|Studying|Being) ((?:in|at|for|as|an?) .+?) (?:means|makes|gets|gives"
            r"|keeps|has|is|can)\b.*\b(?:I|me|my)\b.*",
            lambda m: f"I am {m[1].lower().removeprefix('being')} {m[2]}".replace("  ", " "),
        ),
        # "That lad Fintan", "old Vasile", "our Nuala" and "Mum's carer Blessing" are Fintan, Vasile, ...
        (
            rf"^(?:(?:[Tt]hat|[Tt]his|[Tt]he|old|young|poor|wee) )+(?:{_SOMEONE} )?(?:called |named "
            rf")?(?<!^[Tt]he )(?={NAME}\b)",
            "",
        ),
        (rf"^(?:[Oo]ld|[Yy]oung|[Pp]oor) (?={NAME}'s (?:{forms.ROLE})\b)", ""),
        (r"^(?:[Oo]ld|[Yy]oung|[Pp]oor|[Dd]ear) (?=(?:Mr|Mrs|Ms|Miss|Dr|Auntie|Uncle)\b)", ""),
        (rf"^[Oo]ur (?={NAME}(?:(?:'s)? {_VERB}|'s (?:an?|the|in|at|from|no|not|been|got|\d)\b))", ""),
        (rf"^(?:[Mm]y|[Oo]ur|[Hh]is|[Hh]er) [a-z]+'s (?:{forms.ROLE}),? (?={NAME}\b)", ""),
        # "Kwabena from my climbing club is a paramedic", "Mr Hale at number 9 is 91".
        (
            rf"^({NAME}),? (?:(?:from|at|in|on|next|over|down|across|opposite|by) [a-z\d](?:(?! that "
            rf")[\w' -]){{0,30}}?|upstairs"
            rf"|downstairs|next door|opposite),? (?={_VERB})",
            r"\1 ",
        ),
        # "My daughters birthday" lacks an apostrophe.
        (
            rf"^([Mm]y|[Oo]ur) ({forms.ROLE})s (?=(?:name|birthday|age|job|surname|favou?rite \w+|phone"
            rf"|car|height)\b)",
            r"\1 \2's ",
        ),
        # "My hometown: Porto", "Hometown of my wife: Coimbra".
        (rf"^[Mm]y ({_ASKED_FOR}) ?: ?(?=\S)", r"my \1 is "),
        (
            rf"^(?:[Tt]he )?({_ASKED_FOR}) of (my {_BY_ROLE}) ?: ?(?=\S)",
            lambda m: f"{m[2]}'s {m[1].lower()} is ",
        ),
        (rf"^[Oo]ur (CEO|chief executive|managing director) at ({NAME})(?= is )", r"The \1 of \2"),
        # "Soraya is our chief executive here at Tidewell."
        (
            rf"\bis (?:our|my) (?:new )?(CEO|chief executive|managing director)(?: here| over)? at "
            rf"(?={NAME})",
            r"is the \1 of ",
        ),
        # "The dog is called Pixel" is said of one's own.
        (rf"^[Tt]he ({_ANIMAL})(?=(?:'s name)? (?:is|are) (?:called |named )?[A-Z])", r"my \1"),
        # "I said Honda but the car is a Hyundai."
        (r"^[Tt]he (car|phone)(?= is (?:now )?(?:an? )?[A-Z])", r"my \1"),
        # "Change my employer to Acme."
        (rf"^(?:please )?(?:change|update) (my {_ASKED_FOR}) to (?=\S)", r"\1 is "),
        # "Petra and I aren't flatmates any more."
        (rf"^({NAME}) and I are ((?:not |no longer )?)({_BY_ROLE})s\b", r"\1 is \2my \3"),
        # "Her name is Oluchi, my new flatmate."
        (
            rf"^(?:[Hh]er|[Hh]is) name is ({NAME}), ((?:my|our) (?:[a-z]+ ){{0,2}}?(?:{_BY_ROLE}))$",
            r"\2 is called \1",
        ),
        # "The new Vantor boss is Magnus."
        (
            rf"^[Tt]he (?:new |current )?((?!new ){NAME}) (boss|CEO|chief executive|managing director|MD"
            rf"|founder)"
            r"(?= is )",
            r"The \2 of \1",
        ),
        # "It is Geelong, not Ballarat, where we live."
        (
            rf"^([Ii]t is (?:in |at )?{NAME}),? (?:and )?not (?:in |at )?{NAME},?(?= (?:where|who|that"
            rf"|which|I|we)\b)",
            r"\1",
        ),
        (
            rf"^({NAME}), (?=(?:grew up|comes|lives|works|studies|speaks|loves|hates|born"
            rf"|originally from)\b)",
            r"\1 ",
        ),
        # "Olga, a friend of mine" is my friend Olga.
        (rf"^({NAME}), an? ([a-z]+) of mine\b,?", r"My \2 \1"),
        (rf"^(?:[Aa]n? )?([a-z]+) of mine,? (?:called |named )?({NAME})\b,?", r"My \1 \2"),
        # "The colour I like best" is my favourite.
        (
            r"^[Tt]he (\w+) (?:that |which )?I (?:like|love|enjoy) (?:the )?(?:best|most)(?= is\b)",
            r"my favourite \1",
        ),
        (
            r"\bfavou?rite thing to (?:do|eat|drink|watch|play)(?: (?:on|in|at|with) [\w ]+)?(?=$| is\b)",
            "favourite thing",
        ),
        (
            r"(?<=\w)'s (?=(?:(?:just|now|recently|always|already|finally|since) )?(?:been|got|had|become"
            r"|moved|lived"
            r"|worked|joined|left|gone|started|quit|taken|turned|switched|changed|stopped|bought|sold"
            r"|given)\b)",
            " has ",
        ),
        (r"\b([Hh]e|[Ss]he|[Ii]t|[Tt]hat|[Tt]here|[Ww]ho)'s\b", r"\1 is"),
        (r"\bname's(?= )", "name is"),
        (r"^([Mm]ine)'s ", r"\1 is "),
        (
            rf"^(?:(?:what I (?:said|told you|wrote) )?about )?({NAME}|my [a-z]+) being "
            r"(?=(?:my|our|an?|in|at|the|from|called|[a-z]+$))",
            r"\1 is ",
        ),
        # "Forget the bit about me being a vegan."
        (r"^(?:(?:the )?(?:bit|part|thing|stuff) )?(?:about )?(?:me|my) being (?=an?\b|[a-z]+$)", "I am "),
        (
            r"^(?:(?:[Tt]he )?(?:bit|part|thing|stuff) |[Tt]hat (?=about))?(?:about )?(?:me|my) (liv|work"
            r"|lik|lov|hav|driv)ing"
            r" ",
            r"I \1e ",
        ),
        (r"^I worke ", "I work "),
        # "That about me liking cricket is ancient" ends it.
        (
            r"^I (live|work|like|love|have|drive) (.+?) is (?:ancient|old|outdated|out of date|history|no "
            r"longer true|over"
            r"|done|wrong|not true)\b.*$",
            r"I no longer \1 \2",
        ),
        (
            r"\b(birthday|bday|age|surname|hometown|hobby|passion|job|home|nationality|employer|tongue"
            r"|language"
            r"|city|diet|sign|major|car|currency|capital|favourite [a-z]+)'s (?![\w-]+ (?:is|are|was)\b)",
            r"\1 is ",
        ),
        (r"^([\w-]+)'s (?=(?:my|our) )", r"\1 is "),
        (r"^[Tt]he name is (?=[A-Z])", "my name is "),
        # "I do love it" is no question, and who can speak it speaks it.
        (
            rf"^(I|[Ww]e|[Hh]e|[Ss]he|{NAME}) (?:do|does) (?=(?:really |also |still )?(?:love|like"
            rf"|enjoy|live|work|speak|play|have|hate|own|drive|study)\b)",
            r"\1 ",
        ),
        (r"\bcan (?:also )?(?=speak )", ""),
        (r"\bhappens? to (?=(?:live|work|like|love|speak|have|own|drive|hate)\b)", ""),
        (r"^I happen to be ", "I am "),
        (r"\bhappens? to be ", "is "),
        (r"\b(?:have|has) (?:always|long) (love|hate|like|adore)d\b", r"\1"),
        (r"\b(?:have|has) (?:always|long) enjoyed\b", "enjoy"),
        (r"^[Ii]n (?:my|his|her) (?:free|spare) time,? (?=(?:I|he|she) (?:also )?plays? )", ""),
        (r"^([Mm]y|[Oo]ur) (?:flat|apartment|house|place) is (?=in [A-Z])", r"\1 home is "),
        (
            r"(?<=\w)(?<!master)(?<!bachelor)'s (?=(?:called|named|married|born|based|an?|the|from|now"
            r"|not|in|my|no longer) |(?:vegan|vegetarian|veggie|coeliac|celiac|allergic|divorced|retired)\b"
            r"|[A-Z]\w+(?:ish|ese|ian|can|ch|eek|iss|elsh)(?:$|[ ,]))",
            " is ",
        ),
        # "It is hazelnuts I am allergic to", "It is the viola I play (rather than ...)" put the object first.
        (
            r"^[Ii]t is ((?!not\b)[\w' -]{2,40}?) (?:that |which )?(I am allergic to|I (?:play|speak"
            r"|drive|love|like|hate|study|prefer|adore|enjoy|collect|do))(?: (?:rather than|instead of"
            r"|not) .+)?(?=$|,)",
            r"\2 \1",
        ),
        (
            rf"^[Ii]t is (?:in )?({NAME}) where ({_WHO}) ((?:(?:am|are|is) )?(?:liv|work|study)(?:e|es"
            rf"|ing|s)?|studies)\b",
            r"\2 \3 in \1",
        ),
        # "It is Acme that I work for" puts the object first.
        (rf"^[Ii]t is (?!not\b)({NAME}) (?:that|where|who|which) (I .+)$", r"\2 \1"),
        (rf"^[Ii]t is (?!not\b)({NAME}) (I|[Ww]e) ({_TO})(?=$|,)", r"\2 \3 \1"),
        (rf"^[Ii]t is ({NAME}|(?:my|our) (?:{_BY_ROLE})(?: {NAME})?) (?:who|that) (?=[a-z])", r"\1 "),
        (
            rf"^[Ii]t is not [^,]{{1,40}}? (?:that |where |which )?(I|[Ww]e|[Mm]y [a-z]+) ([a-z"
            rf" ]{{2,20}}?(?:in|at|for|with|to)),? but ({NAME})",
            r"\1 \2 \3",
        ),
        # "Jazz is what I love", "The firm I work for is Acme", "There is nothing I like more than tea".
        (
            rf"^([\w' -]{{2,40}}?) is (?:what|something|one thing|the thing) (?:that )?({_WHO})"
            rf" ((?:really |truly |most )*{_FEELS})"
            r"(?: (?:the )?(?:most|best|above all|more than anything))?(?= |$)",
            r"\2 \3 \1",
        ),
        (
            rf"^(?:[Tt]he|[Aa]|[Oo]ne) (?:{_THING}) (?:that |which |who |where )?({_WHO}) (?:currently "
            rf"|now )?({_TO}) is (?:called |named )?(?=[\w])",
            r"\1 \2 ",
        ),
        (rf"^[Tt]he [a-z]+ (?:that |which )?({_WHO}) calls? home is (?=[A-Z])", r"\1 lives in "),
        (r"^[Tt]here is (?:nothing|no [a-z]+) (?:that )?I (like|love|enjoy) (?:better|more) than ", r"I \1 "),
        (
            rf"^[Hh]ome (?:for me )?((?:is|has been) (?:now |still |currently |always )?)(?=(?:in )?{NAME})",
            r"my home \1",
        ),
        (rf"^((?:[Oo]ver )?[Ii]n {NAME},? the) money is ", r"\1 currency is "),
        (
            rf"^(?:[Oo]ver |[Dd]own |[Uu]p )?[Ii]n ({NAME}),? the ((?:official |national "
            rf"|main )?(?:language|currency|capital|chief"
            rf" executive|CEO))(?: they use| there)? is ",
            r"The \2 of \1 is ",
        ),
        (rf"^[Nn]ot (?:in |at |an? )?{NAME}(?: in {NAME})?,\s+(?=I\b|my\b)", ""),
        # "not in Lisbon but in Porto": what is denied goes, what is said stays.
        (r"\bnot ((?:in|at|for|as|called|an?) )?[^,.;]{1,40}?,? but (?!I\b|my\b|we\b)", ""),
        # "Lisbon, no wait, Porto": a slip of the tongue is replaced by what follows.
        (
            r"(?:\b(?!(?:so|and|but|or|have|has|got|is|are|was|with|there|say|says|said|by|means?"
            r"|makes?)\b)[\w-]+|"
            + NAME
            + r")(?:,|\s-+|\.\.\.)?(?:,?\s+(?:no,? wait|wait|no(?=,|\s(?:an?|the|in|at)\b|\s[A-Z\d])|I"
            r" mean|I meant|sorry|oops|or rather"
            r"|scratch that|make that|correction)\b)+(?:,|:)?\s+(?:I meant?,? )?"
            r"(?=[\w])(?!I\b|my\b|longer\b|one\b)",
            "",
        ),
        # "She is 43, my sister."
        (
            rf"^(?:[Hh]e|[Ss]he) ([^,]+), ((?:my|our) (?:[a-z]+ ){{0,2}}?(?:{_BY_ROLE})(?: {NAME})?)$",
            r"\2 \1",
        ),
        # "a nurse, sorry, a doctor" leaves its small word twice.
        (r"\b(?:an? (?=an?\b)|(in|at|for|the) (?=\1\b))", ""),
    )
)
