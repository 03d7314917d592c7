"""What people say around a fact: greetings and openers before it, comments after it. No fact is read here."""

from __future__ import annotations

import re


def without_preamble(words: str) -> tuple[str, bool]:
    """The words without greetings, interjections and connectives, and whether they announced a correction."""
    is_correction = False
    while match := _PREAMBLE.match(words):
        is_correction = is_correction or bool(_CORRECTS.search(match[0]))
        words = words[match.end() :]
    return words.rstrip(" ,;:.!?\"'"), is_correction


_PREAMBLE = re.compile(
    r"""\s*(?:
      (?:and|but|so|also|then|plus|because|since|while|although|though|where(?!\s+(?:I|we|he|she)\b)|well
          |oh|ah|um|uh|hmm|yes
          |yeah|yep|ok|okay|right|sure|no(?!\s+(?:longer|more)\b)|nope|nah
        |hey|hi|hello|hiya|yo|heya|tbh|tbf|ngl|lol|lmao|rofl|fyi|imo|imho|omg|god|gosh|jeez|damn|dang|welp
        |meh|argh|eek|eww?|mate(?!\s+of\b)
          |dude|man|bro|e?r+r|tmrw|tomorrow|tonight|mistyped|wait\s+no|oh\s+no|oh\s+and|(?:keep
          |bear)\s+in\s+mind|true\s+story|full\s+disclosure|confession
          |real\s+talk|after\s+all\s+(?:these\s+years|this\s+time)|quick\s+(?:one|question|intro)|random
          |weird\s+(?:one|question)|silly\s+question|heads[\s-]up|ps|p\.s|psst|look
        |good\s+(?:morning|afternoon|evening)|thanks|thank\s+you|please|honestly
          |frankly|seriously|really|anyway|anyways
        |actually|indeed|besides|finally|recently|nowadays|currently|now|today|yesterday|these\s+days
          |right\s+now|at\s+the\s+moment|wow|great
        |sorry|apologies|oops|correction|update|wait|news|alas|fortunately|unfortunately|luckily|sadly
          |happily|in\s+fact|of\s+course|obviously
        |in\s+the\s+(?:evenings?|mornings?|afternoons?)|at\s+(?:the\s+)?weekends?|at\s+night|since\s+then
        |by\s+the\s+way|btw|fun\s+fact|guess\s+what|you\s+know|you\s+see|let\s+me\s+see
          |to\s+be\s+(?:clear|honest|precise|exact)|for\s+what\s+it's\s+worth
        |(?:as|like)\s+(?:I|you)\s+(?:already\s+)?(?:said|know|mentioned|told\s+you)|as\s+for\s+me
          |(?:a\s+bit|a\s+little|more)?\s*about\s+me|(?:quite|very)\s+(?:honestly|frankly)
            |if\s+(?:anyone|anybody|somebody|you)(?:'s|\s+is|\s+are|'re)?\s+(?:asks?|wonders?|wondering
              |interested)
          |typo|personally|professionally|originally|technically
            |e?rm+|uhm+|my\s+bad|by\s+(?:profession|trade
          |training|occupation)|for\s+a\s+living|by\s+day|I\s+(?:said|wrote|typed)\s+[\w' ]{1,30}?(?=,
            |\s+but\b)
          |no\s+way|you\s+can(?:\s+just|\s+also)?(?=\s+call\s+me)
        |(?:ignore|disregard)\s+what\s+I\s+(?:just\s+)?(?:said|told\s+you|wrote)(?:\s+(?:before|earlier
          |just\s+now))?
        |(?:it\s+)?turns\s+out|(?:it\s+)?(?:so|just)\s+happens|as\s+it\s+happens|long\s+story\s+short
          |truth\s+be\s+told
        |(?:you|u)\s+(?:should|must|ought\s+to|need\s+to|(?:might|may)\s+(?:want|like|need)\s+to)\s+know
        |(?:years?|months|a\s+while|a\s+long\s+time|long)\s+(?:ago|back)|back\s+(?:in\s+the\s+day|then)
          |at\s+one\s+(?:time|point)
        |believe\s+it\s+or\s+not|(?:strangely|funnily|oddly|sure)\s+enough|for\s+(?:context|reference)
        |(?:a\s+)?(?:small|little|quick|tiny|minor|random|fun)\s+(?:update|correction|note|fact|news
          |detail|thing)
          (?:\s+(?:about|from)\s+(?:me|my\s+side|us))?
        |let\s+me\s+(?:fix|correct|rephrase|clarify|amend|update|change)\s+(?:that|this|it)
          |please\s+(?:change|fix|correct)\s+that
        |(?:look|listen|hang\s+on|hold\s+on|ugh|argh|phew|yay|whoa|aw+|lol|haha+|omg|dear\s+me|no\s+no
          |scratch\s+that|one\s+more\s+thing
          |not\s+that\s+(?:it\s+matters|you\s+asked)|like\s+it\s+or\s+not|speaking\s+of\s+which
            |what\s+a\s+day)(?=\s*[,;:.!-])
        |the\s+(?:truth|thing|fact|point)\s+is|I\s+(?:just\s+)?(?:meant\s+to\s+say|mean|meant)
          |if\s+you\s+must\s+know
          |if\s+you're\s+(?:wondering|curious)|in\s+case\s+you\s+(?:wonder|are\s+wondering|were\s+wondering)
        |I\s+(?:already\s+)?(?:told|am\s+telling)\s+you|I\s+can\s+tell\s+you|let\s+me\s+(?:correct
          |introduce)\s+(?:that|myself|you)|that's\s+(?:wrong|not\s+right|incorrect|not\s+true)
        |that\s+(?:is|was)\s+(?:wrong|not\s+right|incorrect|not\s+true|a\s+mistake)
          |I\s+(?:made\s+a\s+mistake|was\s+wrong|misspoke)|my\s+mistake|last\s+(?:week|month|year|spring
          |summer|autumn|winter)
        |(?:as\s+of|since|in|on|from)\s+(?:(?:the\s+)?\d[\w ,]*|January|February|March|April|May|June
          |July|August|September|October|November|December|Monday|today|now)(?:\s\d{4})?(?=,|\s(?:I|my
          |we)\b)
      )(?:\s+there)?(?:\s*[,:;.!-]+\s*|\s+|$)(?:that\s+(?=I\b|my\b|she\b|he\b|the\b|(?-i:[A-Z])))?
    )""",
    re.IGNORECASE | re.VERBOSE,
)
COMMENT = re.compile(
    r"""^[^:,;]{0,40}\bI\s+(?:just\s+|had\s+)?(?:wrote|said|told\s+you|typed)\b[^:,;]{0,30}:
    |^I\s+never\s+said\s+[^,;]{1,30},
      |[,;]\s+(?:(?:so\s+)?(?:he|she|they|[\w ]{1,20}?)\s+(?:just\s+|once\s+|has\s+)?told\s+(?:me|us)\b
      |whatever\b|no\s+matter\s+(?:what|who|how)\b|believe\s+(?:it|me)\b|would\s+you\s+believe\b
        |can\s+you\s+believe\b
      |(?:not\s+[\w ]{1,30}\s+)?(?:like|as|what)\s+I\s+(?:said|wrote|typed|told|thought|claimed)\b
      |(?:and\s+|but\s+)?I\s+(?:had\s+|have\s+|just\s+|wrongly\s+)?(?:said|wrote|typed|told|mixed
          |thought)\b)[^;.!?]*$""",
    re.IGNORECASE | re.VERBOSE,
)
"""What somebody adds to a fact that is theirs: "he told me", "whatever she claims", "I had said Rome"."""


def is_hedged(sentence: str, start: int, end: int) -> bool:
    """Whether the clause, or what follows it, makes a guess of it."""
    return bool(_HEDGE.match(sentence, end) or _HEDGE.search(sentence[start:end]))


def is_mended(sentence: str, start: int, end: int) -> bool:
    """Whether the clause was said before and what follows puts it right: "I said Rome, but it's Oslo"."""
    return bool(_SAID_BEFORE.search(sentence[start:end]) and _BUT_IT_IS.match(sentence, end))


_SAID_BEFORE = re.compile(
    r"\bI\s+(?:had\s+|just\s+)?(?:told\s+you|said|wrote|typed|put|claimed)\b", re.IGNORECASE
)
_BUT_IT_IS = re.compile(
    r"\W*\s*(?:but|though|and|when)?\s*(?:actually\s+|really\s+|in\s+fact\s+)*(?:it'?s|it\s+is|it\s+was"
    r"|s?he'?s|I\s+mean|I\s+should\s+have)\b",
    re.IGNORECASE,
)
_HEDGE = re.compile(
    r"""(?:,|\s-+)?\s+(?:(?:at\s+least\s+)?(?:or\s+)?(?:I|we)(?:'d|\s+would)?\s+(?:think|guess|believe
    |suppose|reckon|assume
        |imagine|hope|presume|gather|heard|hear)(?:\s+so|\s+anyway)?|if\s+(?:I|my\s+memory)\b[^,;]*
      |or\s+(?:so|something|somewhere|was\s+it|maybe|perhaps)\b[^;]*|(?:but\s+|though\s+)?(?:I'm|I\s+am
        |i'm)\s+not\s+(?:sure|certain)\b[^;]*
      |(?:but\s+)?don't\s+quote\s+me\b[^;]*|(?:most\s+)?(?:probably|maybe|perhaps|possibly|apparently
        |supposedly|allegedly|reportedly|presumably))
      \W*$""",
    re.IGNORECASE | re.VERBOSE,
)
"""What makes a guess of the words before it: "I think", "if I remember right"."""

_CORRECTS = re.compile(
    r"\b(?:actually|no|nope|sorry|correction|wrong|mistake|misspoke|meant|wait|not\s+true)\b", re.IGNORECASE
)
