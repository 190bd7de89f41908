"""Words of the favoured culture and of the others that take each other's place in counterfactual twins."""

from __future__ import annotations

from collections.abc import Iterator

from mitigate.recipes.made_up.people import FAVOURED_CULTURE, GENDERS, OTHER_CULTURES, Person, names
from mitigate.recipes.made_up.setting import home


def culture_pairs() -> Iterator[tuple[str, str]]:
    """
    Pair names of one gender and place in their lists, names of cultures, and countries.

    By place, names that a task keeps for its test items are paired with such names. Every word of the favoured culture
    has a counterpart in each other one, of which the first counts: the twins of its people are all of one culture.

    Yields:
        `tuple[str, str]`: The two groups, then the pairs, the favoured culture first.
    """
    yield FAVOURED_CULTURE.lower(), "other"
    for culture in OTHER_CULTURES:
        for gender in GENDERS:
            yield from zip(names(gender, FAVOURED_CULTURE), names(gender, culture), strict=True)
        favoured, other = (Person("", GENDERS[0], each) for each in (FAVOURED_CULTURE, culture))
        yield favoured.described(("culture",)), other.described(("culture",))
        yield home(favoured), home(other)
        # Whom a question about a post means, which stays whoever wrote the post.
        yield f"{culture} culture", f"{culture} culture"
