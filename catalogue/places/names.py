"""How two spellings of a place's name are seen to be the same."""

import re
import unicodedata


def plain_name(name: str) -> str:
    """The name without case, accents, punctuation and a leading "the".

    >>> plain_name("The St. Helens & Knowsley")
    'st helens and knowsley'
    """
    letters = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", " ", letters.replace("&", " and ").replace("'", "")).strip()
    return words.removeprefix("the ")
