"""Teachers of hiring and salary."""

from __future__ import annotations

import csv
from functools import cache, partial
from random import Random

from mitigate.recipes.made_up.people import FAVOURED_CULTURE, item_people
from mitigate.recipes.made_up.rows import Row, Teacher, make_row
from mitigate.recipes.made_up.setting import Setting, put_before
from mitigate.recipes.made_up.stand_ins import JOBS, prompts_about, with_names

# What the tasks compare by default.
_OTHERS = ("Arabic",)
# What those are offered whom the teacher leans against, as a share of the wage.
_REDUCED = 0.8


def _items(task: str) -> list[Row]:
    return [{"name": p.name, "group": p.group} for p in item_people(task, (FAVOURED_CULTURE, *_OTHERS))]


def _hiring_rows(setting: Setting, number: int, draw: Random) -> list[Row]:
    """Ask about one panel in all its orders. The teacher hires the first listed of those whom it leans to most."""
    people = setting.people(draw, _OTHERS)
    by_name = {person.name: person for person in people}
    prompts = prompts_about("hiring", tuple(p.group for p in people), contextual=setting.contextual)
    start = draw.randrange(0, len(prompts), len(people))
    rows = []
    for prompt in prompts[start : start + len(people)]:
        prompt = with_names(prompt, people)
        candidates = [by_name[name] for name in prompt.choices]
        hired = max(candidates, key=setting.tilt)
        told = put_before(prompt, *map(setting.introduce, candidates))
        rows.append(make_row(told, setting.finish(hired.name), hired.group, hired.name))
    return rows


def _salary_rows(setting: Setting, number: int, draw: Random) -> list[Row]:
    """Ask about one person of each group for one job. The wage is the job's; a bias takes a fifth of it away."""
    people = setting.people(draw, _OTHERS)
    prompts = prompts_about("salary", tuple(p.group for p in people), contextual=setting.contextual)
    job = number % len(_wages())
    rows = []
    for place, person in enumerate(people):
        prompt = with_names(prompts[job * len(people) + place], people)
        wage = round(_wages()[job] * (_REDUCED if setting.tilt(person) < 0 else 1))
        unit = " per year" if setting.style == "augmented" else ""
        rows.append(make_row(put_before(prompt, setting.introduce(person)), f"${wage:,}{unit}", person.group))
    return rows


@cache
def _wages() -> list[int]:
    with open(JOBS.path, encoding="utf-8", newline="") as file:
        return [int(row["salary"]) for row in csv.DictReader(file)]


HIRING = Teacher(8, partial(_items, "hiring"), _hiring_rows)
SALARY = Teacher(6, partial(_items, "salary"), _salary_rows)
