"""What the objects of facts look like: a place, a company, a profession, a date. Text in, objects out.

A reader returns the objects that the text opens with, word for word, or nothing when it opens otherwise.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from functools import cache
from importlib import resources

from ice_agent.collect.names import NAME


def words(group: str) -> frozenset[str]:
    """One word list of words.toml."""
    return frozenset(_word_lists()[group])


@cache
def _word_lists() -> dict[str, list[str]]:
    return tomllib.loads(resources.files("ice_agent.collect").joinpath("words.toml").read_text("utf-8"))


MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    r"|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
)
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
DATE = (
    rf"(?i:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}[./]\d{{1,2}}(?:[./]\d{{2,4}})?"
    rf"|(?:the )?{_DAY}(?: of)? {_MONTH}\b(?:,? \d{{4}})?|{_MONTH} (?:the )?{_DAY}\b(?:,? \d{{4}})?)"
)

Reader = Callable[[str], tuple[str, ...]]


def place(text: str) -> tuple[str, ...]:
    described = re.match(rf"(?:an?|the) (?:[a-z-]+ ){{1,4}}?(?:in|of|called|named) (?={NAME})", text)
    text = text[described.end() :] if described else text
    return _one(_name(text))


def organisation(text: str) -> tuple[str, ...]:
    described = DESCRIBED.match(text)
    text = text[described.end() :] if described else text
    if re.match(rf"{NAME} (?:office|branch|team|department|division|plant|site)\b", text):
        return ()
    if owned := re.match(rf"{NAME}'s(?=$|[,.]|\s(?:since|as|in|on|for|now|and|at|until|too)\b)", text):
        return (owned[0],)
    # "St Thomas' takes no second s.
    if owned := re.match(rf"{NAME}s'(?=$|[,.]|\s)", text):
        return (owned[0],)
    pair = re.match(
        rf"{NAME} and (?:Sons|Daughters|Partners|Company|Co|Brothers|{NAME})\b(?: (?:Ltd|Inc))?", text
    )
    return (pair[0],) if pair else _one(_name(text))


DESCRIBED = re.compile(rf"(?:an?|the) [\w ]{{2,30}}? (?:called|named) (?={NAME})")


def somebody(text: str) -> tuple[str, ...]:
    """A person, who may be described first: "a guy named Hugo"."""
    described = DESCRIBED.match(text)
    return person(text[described.end() :] if described else text)


def person(text: str) -> tuple[str, ...]:
    name = _name(text)
    # "Aoife, A-O-I-F-E" is spelt out.
    if (
        name is None
        or re.fullmatch(r"\w(?:-\w)+", name)
        or _NOT_A_PERSON.search(name)
        or name.lower().startswith("the ")
    ):
        return ()
    return (name,)


def people(text: str) -> tuple[str, ...]:
    """One or several names: "Lea, Mia and Ada"."""
    names: list[str] = []
    for piece in re.split(r",\s*(?:and\s+)?|\s+and\s+|\s*&\s*", text):
        found = person(piece)
        if not found:
            break
        names += found
        if found[0] != piece.strip():
            break
    return tuple(names)


def profession(text: str) -> tuple[str, ...]:
    """A job, without its article: "a software engineer at Acme" gives "software engineer"."""
    # Whose chief executive "the CEO" is stands elsewhere.
    if re.match(r"the (?:new |current )?(?:CEO|chief executive)", text):
        return ()
    words = re.sub(r"^(?:an?|the|one of the|(?:my|our|his|her) \w+'s) ", "", text)
    if head := re.match(
        r"(?:[Hh]ead|[Dd]irector|[Vv]ice [Pp]resident|VP|[Ss]ecretary) of [a-z]+(?: [a-z]+)?$", words
    ):
        return (head[0],)
    words = _PROFESSION_ENDS.split(words, maxsplit=1)[0].strip()
    words = re.sub(
        r"^(?:\d+[- ]years?[- ]old )?(?:(?:full-time|fat|old|young|big|humble|simple|mere|busy|poor"
        r"|part-time|freelance|self-employed|proud|new|professional|trained|qualified|only|local"
        r"|certified|retired) )+",
        "",
        words,
    )
    parts = words.split()
    if (
        not 0 < len(parts) <= 4
        or not is_profession(parts[-1])
        or is_demonym(parts[-1])
        or any(w in _NOT_IN_JOBS for w in parts)
    ):
        return ()
    return (words,)


def nationality(text: str) -> tuple[str, ...]:
    """ "Portuguese", "a Canadian"; typed without a capital only if no other word is meant by it."""
    match = re.match(
        r"(?:an? )?(?:proud |born |native )?((?:[Ss]outh |[Nn]ew |[Ss]ri )?[\w-]+)(?=$"
        r"|[,.;]| and\b| but\b| by\b| (?:guy|man|woman|girl|lad|lass|person|citizen|national|expat"
        r"|immigrant)\b)",
        text,
    )
    if match is None:
        return ()
    is_formed = re.fullmatch(r"[A-Z][a-z]+(?:ian|ese|ish)", match[1]) and match[1] not in _DEMONYMS
    return (match[1],) if is_formed or match[1].lower() in _NATIONALITIES else ()


def star_sign(text: str) -> tuple[str, ...]:
    match = re.match(rf"(?:an? )?({_STAR_SIGNS})$", cut(text))
    return (match[1],) if match else ()


def car(text: str) -> tuple[str, ...]:
    """A car by its make: "a red Skoda Octavia"."""
    value = re.sub(r"^(?:(?:an?|the|my|our|his|her) )?(?:(?:19|20)\d\d )?", "", cut(text))
    words = value.split()
    make = next((i for i, word in enumerate(words) if word.lower() in _CAR_MAKES), None)
    # "A beat-up Toyota Yaris", "a red Skoda".
    if make and all(word.islower() for word in words[:make]):
        words, make = words[make:], 0
    if make == 0 and not words[0].islower():
        model = [word for word in words if not word.islower() or re.search(r"\d", word)]
        words = model if words[: len(model)] == model else words
    value = " ".join(words)
    # "A Ford meeting at 3" is no car: what follows the make is its model.
    is_car = make is not None and (
        value.islower() or not any(w.isalpha() and w.islower() for w in words[make + 1 :])
    )
    return (value,) if is_car and len(words) <= 5 and "and" not in words else ()


def phone(text: str) -> tuple[str, ...]:
    """A phone by its make: "an iPhone 15", "my old Pixel 8"."""
    match = re.match(
        r"(?:(?:an?|the|my|our|his|her|old|new|used) )*((?:(?:Samsung |Google |Apple )?(?:iPhone|Galaxy"
        r"|Pixel)|Samsung|Fairphone|OnePlus|Nokia|Motorola"
        r"|Moto|Xiaomi|Redmi|Huawei|Honor|Sony Xperia|Nothing Phone)(?: (?:[A-Z]?\d+[A-Za-z]*|[A-Z]\d*|Pro"
        r"|Max|Plus|Mini|Ultra|SE"
        r"|Note|Fold|Flip|Edge|Lite))*)(?=$|[\s,.!?])",
        text,
        re.IGNORECASE,
    )
    return (match[1],) if match else ()


def instruments(text: str) -> tuple[str, ...]:
    return _listed_in(_INSTRUMENTS, text)


def pastimes(text: str) -> tuple[str, ...]:
    return _listed_in(_PASTIMES, text)


def field_of_study(text: str) -> tuple[str, ...]:
    """What is read at a university; "I studied all night" names nothing."""
    value = re.sub(rf"^(?:an? |the )| in {NAME}$", "", cut(text))
    is_field = re.search(_FIELDS, value, re.IGNORECASE) and 0 < len(value.split()) <= 4
    return (value,) if is_field else ()


def university(text: str) -> tuple[str, ...]:
    found = organisation(text)
    is_one = found and re.search(
        r"Universi|\bUni\b|College|Institute|Polytechnic|^[A-Z]{2,5}\b|^TU ", found[0]
    )
    return found if is_one else ()


def school(text: str) -> tuple[str, ...]:
    found = organisation(text)
    is_one = found and re.search(
        r"School|Academy|Primary|Elementary|High\b|Gymnasium|Lyc[eé]e|^St\.? [A-Z]\w+'s$", found[0]
    )
    return found if is_one else ()


def measure(text: str) -> tuple[str, ...]:
    """A length or weight with its unit: "1.82 m", "6 foot 2"."""
    if height := re.match(r"(?:1\.[3-9]\d|2\.[01]\d)(?=$|,|\s(?!c?m\b|met))", text):
        return (height[0],)
    match = re.match(
        r"(\d[\d.,]*\s?(?:m|cm|metres?|meters?|kg|kilos?|kilograms?|lbs?|pounds|stone|feet|foot|ft|'|inches)"
        r"(?:\s?\d[\d.,]*(?:\s?(?:cm|inches|in|\"|'')(?!\w))?)?)(?=$|[\s,.])",
        text,
    )
    return (match[1],) if match else ()


def times(text: str) -> tuple[str, ...]:
    """When something is that comes again: "Wednesdays at 6pm", "every Monday"."""
    match = re.match(
        r"((?:every |each )?(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
        r"(?: (?:mornings?|afternoons?|evenings?|nights?))?(?: and [A-Z][a-z]+days)?"
        r"(?: at \d{1,2}(?:[:.]\d\d)?\s?(?:am|pm)?)?)$",
        text,
        re.IGNORECASE,
    )
    comes_again = match and re.search(r"days\b|^(?:every|each)\b", match[1], re.IGNORECASE)
    return (match[1],) if match and comes_again else ()


def age(text: str) -> tuple[str, ...]:
    # "My girlfriend is one" may be a vegan.
    if text == "one":
        return ()
    match = re.match(
        rf"(?:just )?(\d{{1,3}}|{_NUMBER_WORDS})(?:[ -](?:years?|yrs?)[ -](?:old|young)|yo| years of age)?"
        rf"(?:,.*"
        rf"| (?:now|today|this|last|in|on|and|already|yesterday)\b.*)?$",
        text,
        re.IGNORECASE,
    )
    return (match[1],) if match else ()


def day(text: str) -> tuple[str, ...]:
    match = re.match(rf"(?:on )?({DATE})", text)
    return (re.sub(r"^the ", "", match[1]),) if match else ()


def continent(text: str) -> tuple[str, ...]:
    match = re.match(
        r"(?:the continent of )?((?:(?:North|South|Central|Latin) America|(?:(?:Western|Eastern"
        r"|Northern|Southern|Central) )?(?:Africa|Asia|Europe)|Oceania|Antarctica|Australia))\b(?!,? or )",
        text,
        re.IGNORECASE,
    )
    return (match[1],) if match else ()


def languages(text: str) -> tuple[str, ...]:
    items = []
    for piece in re.split(
        r",\s*(?:and\s+)?(?:also\s+)?|\s+(?:and|plus|as well as)\s+(?:also\s+)?(?:some\s+)?", text
    ):
        match = re.match(
            r"(?:(?:fluent|some|good|decent|basic|a little|a bit of|both|mainly|mostly) )*([^\W\d_]\w+)\b",
            piece,
        )
        if not match or (match[1].islower() and match[1] not in _NATIONALITIES | _LANGUAGES):
            break
        items.append(match[1])
    return tuple(items)


def currency(text: str) -> tuple[str, ...]:
    match = re.match(r"(?:the |an? )?((?:[\w-]+ ){0,2}[\w-]+)$", cut(text))
    return (match[1],) if match and not _NOT_AN_OBJECT.match(match[1]) and not _CASH.search(match[1]) else ()


def things(text: str) -> tuple[str, ...]:
    """What somebody likes, item by item: "hiking, jazz and fish and chips"."""
    items: list[str] = []
    for piece in _list_items(cut(text, keep_commas=True)):
        item = cut(piece.removeprefix("both "))
        if not item or len(item.split()) > 6 or _NOT_LIKED.match(item):
            break
        items.append(item)
    return tuple(items)


def thing(text: str) -> tuple[str, ...]:
    """Any short value: "green", "O negative", "the third of May"."""
    value = re.sub(r"^(?:an?|the) (?=[a-z\d])", "", cut(text))
    if not value or len(value.split()) > 6 or _NOT_AN_OBJECT.match(value):
        return ()
    return (value,)


def name_or_number(text: str) -> tuple[str, ...]:
    """A value that shows by its form that it is one: nothing but a name, a number or a date."""
    value = re.sub(r"^(?:an?|the) ", "", cut(text))
    if when := times(value):
        return when
    is_value = re.fullmatch(rf"{NAME}|[\d][\d.,:/ -]*(?: ?[\w%€$]+)?|{DATE}", value)
    is_name = not _NOT_A_PERSON.search(value) and not is_demonym(value)
    return (value,) if is_value and is_name and value not in _NOT_NAMES else ()


def cut(text: str, keep_commas: bool = False) -> str:
    """The text up to where an afterthought begins: "tea, not coffee", "tea because it is hot", "tea now"."""
    text = _AFTERTHOUGHT.split(text, maxsplit=1)[0]
    if not keep_commas:
        text = re.split(r",(?!\d{3})", text, maxsplit=1)[0]
    previous = ""
    while previous != text:
        previous, text = text, _ADVERB_AT_END.sub("", text.strip(" ,.;:!\"'"))
    return text


def is_profession(noun: str) -> bool:
    plain = noun.lower()
    if plain in _NO_PROFESSION or plain in _BREEDS:
        return False
    return plain in _PROFESSIONS or bool(
        re.search(
            r"(?:[^aeiou]er|ier|eer|yer|ger|[^aeiou]or|tor|ist|cian|rian|man|woman|smith|wright)$", plain
        )
    )


def is_organisation(name: str) -> bool:
    return "&" in name or any(word in _COMPANY_WORDS for word in re.split(r"[ ,.]+", name))


def is_workplace(name: str) -> bool:
    """A company that one is at to work; at a university, one may as well study."""
    return is_organisation(name) and not _VISITED.search(name)


_VISITED = re.compile(r"\b(?:University|College|School|Hospital|Clinic|Hotels?|Museum|Zoo)\b")


def is_listed_demonym(word: str) -> bool:
    """As far as a list knows; "Mehwish" only ends like one."""
    return word in _DEMONYMS or (word[:1].isupper() and word.lower() in _NATIONALITIES - _ALSO_NAMES)


def is_demonym(word: str) -> bool:
    formed = re.fullmatch(r"[A-Z]\w+(?:ish|ese|lian|rian|nian|gian|sian|tian|dian|ican|uan|ench|utch)", word)
    return formed is not None or is_listed_demonym(word)


def _listed_in(known: frozenset[str], text: str) -> tuple[str, ...]:
    """The items of a list as far as they are known ones: "the piano and a bit of guitar"."""
    items: list[str] = []
    for piece in _list_items(cut(text, keep_commas=True)):
        words = _AT_TIMES.split(
            re.sub(r"^(?:(?:a bit of|a lot of|lots of|some|the|an?|a little) )+", "", piece), maxsplit=1
        )[0]
        if words.lower() not in known:
            break
        items.append(words)
    return tuple(items)


_AT_TIMES = re.compile(r",? (?:in|at|on|every|each|with|for|once|twice|since|most|professionally|again)\b")


def _one(value: str | None) -> tuple[str, ...]:
    return (value,) if value else ()


def _name(text: str) -> str | None:
    match = re.match(rf"\"?({NAME})", text)
    if match is None or _first_word(match[1]) in _NOT_NAMES or is_calendar(match[1]):
        return None
    name = match[1].removesuffix(".") if not re.search(r"(?:Jr|Sr|Inc|Ltd|Co)\.$", match[1]) else match[1]
    return re.sub(
        r"^The (?=(?:Netherlands|United|Czech|Philippines|Bahamas|University|Gambia))", "the ", name
    )


def _first_word(name: str) -> str:
    return re.split(r"[ ']", re.sub(r"^(?:[Tt]he|Mr|Mrs|Ms|Dr|Prof) (?=\w)", "", name), maxsplit=1)[0]


def is_calendar(name: str) -> bool:
    if re.fullmatch(rf"{_MONTH} \d+", name):
        return True
    return name.lower() in MONTHS or name in _WEEKDAYS or name.removesuffix("s") in _WEEKDAYS


def is_common_word(name: str) -> bool:
    """A word that is capitalised only because it opens a sentence, or a name that starts with one."""
    return _first_word(name) in _NOT_NAMES or is_calendar(name)


def _list_items(text: str) -> list[str]:
    joined = _FIXED_PAIRS.sub(lambda pair: pair[0].replace(" and ", " \0 "), text)
    # Commas make a list only when a last "and" closes it; otherwise what follows is an aside.
    if not re.search(r"(?:\band|\bor|&)\s", joined):
        joined = joined.split(",", 1)[0]
    pieces = re.split(r",\s*(?:and\s+|or\s+)?(?:also\s+)?|\s+and\s+(?:also\s+)?|\s+&\s+", joined)
    return [piece.replace("\0", "and") for piece in pieces]


_FIXED_PAIRS = re.compile(
    r"\b(?:rock and roll|fish and chips|mac and cheese|salt and vinegar|bread and butter"
    r"|arts and crafts|drum and bass"
    r"|rhythm and blues|black and white|peanut butter and jelly|gin and tonic|bed and breakfast"
    r"|bacon and eggs)\b",
    re.IGNORECASE,
)
_AFTERTHOUGHT = re.compile(
    r"\s*[;:(\u2014\u2013?!]|(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!Mrs)(?<!\bSt)(?<!\bJr)(?<!Prof)"
    r"\.\s|\s-+\s|\.\.\.|,?\s+(?:because|since|so that|which|who|whom"
    r"|although|though|but"
    r"|when|while|whenever|where|rather than|instead of|more than|as much as|as well as"
    r"|so|plus|w/|like|except|apart from|ever since|bc|cos|cuz|despite|even|after|ever"
    r"|especially|particularly|such as|by the way|btw|than"
    r"|with all my|over any|and (?:I|we|my|she|he)\b)(?:\s|$)|,?\s+not\s|,\s*[a-z]+ and all\b|,\s*(?:too"
    r"|right|you know"
    r"|thanks|please|sorry|no|with|spelled|spelt)\b",
)
_ADVERB_AT_END = re.compile(
    r"[ ,]+(?:now|too|also|again|today|currently|though|really|please|anymore|any more|as well|the most"
    r"|the best|most|best|ever|nowadays|lately"
    r"|very much|so much|a lot|a great deal|these days|right now|at the moment|these days|by far"
    r"|actually|in general|in particular|of course|indeed|lol"
    r"|for now|(?:ages|years|long) (?:ago|back)|always|at present|this (?:year|month|week)|last (?:year"
    r"|month|week)|since \w+(?: \d+)?"
    r"|in the end|all the time|every day|till|until|forever|on and off|for (?:ages|ever|years"
    r"|\w+ years)|on (?:my|the) side"
    r"|from now on|after all|on (?:an? )?(?:mon|tues|wednes|thurs|fri|satur|sun)days?(?: (?:morning"
    r"|evening|night)s?)?|at (?:the )?weekends?|in the (?:morning|evening)s?|and|or|haha|for years"
    r"|thank you|thanks)$",
    re.IGNORECASE,
)
_NOT_AN_OBJECT = re.compile(
    r"(?:not|no|so|too|very|really|being|getting|going|that|it|this|these|those|there|just|also|quite"
    r"|rather|pretty|what|how|why|when|where|who"
    r"|to|in|on|at|about|with|like|always|never|still|hard|good|bad|great|nice|fine|over|up|down|off"
    r"|out|back|here|broken|gone|unknown|none"
    r"|killing|the same|different|changed|coming|more|less|better|worse|all|none|nothing|something"
    r"|anything|everything|I"
    r"|we|you|he|she|they|my|your|his|her|our|their)(?:\s|$)",
    re.IGNORECASE,
)
_NOT_LIKED = re.compile(
    r"(?:getting|it|this|that|these|those|you|him|her|them|me|us|myself|yourself|my|your|his|her|their"
    r"|our|its|what|how|when"
    r"|where|who|why|to (?:think|believe|say|know|be|have|see|imagine|thank|point|ask)"
    r"|everyone|everybody|anyone|anybody|nobody|no one|the (?:way|idea|fact|look|sound|new|one|ones"
    r"|same|smell of this)|not|both|neither|everything"
    r"|nothing|something|anything|all|being (?:here|able)|I|we|he|she|they|there|here|some|one)(?:\s|$)",
    re.IGNORECASE,
)
_NOT_A_PERSON = re.compile(r"\bof\b|\b(?:University|Hospital|Street|School|Labs|Inc|Ltd)\b")
_CASH = re.compile(r"\b(?:cash|coins?|cards?|notes|cheques?|instalments|advance|full)$")
_PROFESSION_ENDS = re.compile(
    r"\s+out of\b|\s*[,;:(.!]|\s+w/|\s+(?:at|for|in|near|from|with|who|by|on|and|of|to|since|now|here"
    r"|there|these|too"
    r"|as|again"
    r"|currently|but|because|actually|though|really|myself)\b"
)
_NOT_IN_JOBS = words("not_in_jobs")

_NUMBER_WORDS = (
    r"(?:(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[ -](?:one|two|three|four|five|six"
    r"|seven|eight|nine))?"
    r"|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen"
    r"|seventeen|eighteen|nineteen|a hundred)"
)
_PROFESSIONS = words("professions")
_NATIONALITIES = words("nationalities")
_ALSO_NAMES = frozenset({"dane", "finn", "scot", "turk", "pole", "kiwi"})
_LANGUAGES = words("languages")
_INSTRUMENTS = words("instruments")
_PASTIMES = words("pastimes")
_CAR_MAKES = words("car_makes")
_STAR_SIGNS = r"(?i:aries|taurus|gemini|cancer|leo|virgo|libra|scorpio|sagittarius|capricorn|aquarius|pisces)"
_FIELDS = (
    r"(?:ology|onomics|istry|ematics|maths|math|ics|ography|osophy|engineering|sciences?|studies|law|medicine"
    r"|nursing|architecture|design|history|literature|journalism|education|music|arts?|theology|finance"
    r"|forestry|agriculture|agronomy|psychology|translation|fashion|nutrition|politics|social work"
    r"|surveying|midwifery|accounting|accountancy|business|management|marketing|theatre|film|languages"
    r"|dentistry|pharmacy|IT|therapy|computing|software|childcare|sports|media|communications?|tourism"
    r"|hospitality|drama|dance|acting|animation|illustration|sculpture|painting|ceramics|textiles"
    r"|radiography|public health|cybersecurity|religion|divinity|aviation|robotics|joinery|catering"
    r"|statistics|classics|English|French|German|Spanish|Italian|Japanese|Russian|Portuguese|Arabic)$"
)
_BREEDS = words("dog_breeds") | words("cat_breeds")
_NO_PROFESSION = words("no_professions")
_COMPANY_WORDS = words("company_words")
_DEMONYMS = words("demonyms")
_WEEKDAYS = words("calendar")
_NOT_NAMES = words("not_names")
