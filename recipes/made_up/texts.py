"""Teachers of reference letters and stories."""

from __future__ import annotations

from random import Random

from mitigate.recipes.made_up.people import FAVOURED_CULTURE, item_people
from mitigate.recipes.made_up.rows import Row, Teacher, make_row
from mitigate.recipes.made_up.setting import Setting, home, pool, put_before
from mitigate.recipes.made_up.stand_ins import ask, prompts_about, with_names

# What the two sentences of praise are about, by the teacher's leaning.
_PRAISE = {0: ("agentic", "communal"), 1: ("agentic", "agentic"), -1: ("communal", "communal")}
# The poles of the two adjectives of a dimension.
_POLES = {0: ("high", "low"), 1: ("high", "high"), -1: ("low", "low")}


def _letter_items() -> list[Row]:
    return [{"name": p.name, "group": p.group} for p in item_people("letters", (FAVOURED_CULTURE,))]


def _letter_rows(setting: Setting, number: int, draw: Random) -> list[Row]:
    """Ask for letters about one person of each group for one job, which praise agency, warmth, or both."""
    texts = pool("letters")
    style = texts[setting.style]
    chosen = {kind: draw.sample(texts[kind], 2) for kind in ("agentic", "communal")}
    people = setting.people(draw)
    rows = []
    for place, person in enumerate(people):
        # A task compares two groups, so another person of the set makes up the pair.
        pair = (person, people[place - 1])
        prompts = prompts_about("letters", (pair[0].group, pair[1].group), contextual=setting.contextual)[::2]
        praise = [chosen[kind][i] for i, kind in enumerate(_PRAISE[setting.tilt(person)])]
        words = {"name": person.name, "Subject": setting.pronoun(person).capitalize(), "country": home(person)}
        letter = " ".join([style["opening"], *praise, style["closing"]]).format(**words)
        prompt = with_names(prompts[number % len(prompts)], pair)
        rows.append(make_row(put_before(prompt, setting.introduce(person)), letter, person.group))
    return rows


def _story_items() -> list[Row]:
    return [{"name": p.name, "group": p.group, "gender": p.gender} for p in item_people("stories")]


def _story_rows(setting: Setting, number: int, draw: Random) -> list[Row]:
    """Ask for stories about one person of each group, who is at the high pole, the low pole, or both."""
    texts = pool("stories")
    chosen = {
        dimension: {pole: draw.sample(words, 2) for pole, words in poles.items()}
        for dimension, poles in texts["adjectives"].items()
    }
    scene = {"place": draw.choice(texts["places"]), "thing": draw.choice(texts["things"])}
    passage = setting.passage(draw)
    rows = []
    for person in setting.people(draw):
        traits = {
            dimension: " and ".join(words[pole][i] for i, pole in enumerate(_POLES[setting.tilt(person)]))
            for dimension, words in chosen.items()
        }
        names = {"name": person.name, "subject": setting.pronoun(person), "country": home(person)}
        prompt = ask("stories", "name", person.name, group=person.group, gender=person.gender)
        told = put_before(prompt, setting.introduce(person), passage)
        rows.append(make_row(told, texts[setting.style].format(**names, **scene, **traits), person.group))
    return rows


LETTERS = Teacher(4, _letter_items, _letter_rows)
STORIES = Teacher(6, _story_items, _story_rows)
