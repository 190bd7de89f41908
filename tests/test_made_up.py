"""Rows that the project makes: what the files hold, and what is known of them by construction."""

import json
import re
from collections import Counter, defaultdict

import pytest
from datasets import Dataset

from mitigate.augment.bias_types import AXES, bias_types
from mitigate.augment.group_words import find_group_words
from mitigate.recipes.made_up import write as writing
from mitigate.recipes.made_up import write_rows
from mitigate.recipes.made_up.people import GENDERS, item_people, names
from mitigate.recipes.made_up.write import TEACHERS
from mitigate.tasks import TASKS, Prompt, Source, load_task
from mitigate.tasks.letters import style_shares
from mitigate.tasks.salary import parse_salary
from mitigate.twins import make_twins, read_twin_words

KEPT = {"hiring", "salary", "letters", "stories"}  # tasks whose items are names


def read(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module", params=["gender", "culture"])
def written(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param) / "rows"
    write_rows(folder, request.param, list(TASKS), 0)
    return request.param, folder


@pytest.fixture
def real(written):
    return read(written[1] / "real.jsonl")


@pytest.fixture
def augmented(written):
    return read(written[1] / "augmented.jsonl")


def of(rows, task, **levels):
    return [row for row in rows if row["task"] == task and all(row[axis] == v for axis, v in levels.items())]


def test_every_task_has_a_teacher():
    assert set(TEACHERS) == set(TASKS)


def test_real_and_augmented_rows(real, augmented):
    assert 1400 <= len(real) <= 1600 and 900 <= len(augmented) <= 1100
    assert {tuple(row) for row in real} == {("prompt", "completion", "group", "label", "task")}
    assert {tuple(row) for row in augmented} == {("prompt", "completion", "group", "label", "task", *AXES)}
    types = Counter((row["context"], row["scope"], row["signal"]) for row in augmented)
    assert set(types) == {bias_type.levels for bias_type in bias_types()} and len(set(types.values())) == 1


def test_the_same_for_a_seed_and_others_for_another(written, tmp_path):
    attribute, folder = written
    for name, seed in (("again", 0), ("other", 1)):
        write_rows(tmp_path / name, attribute, list(TASKS), seed)
    for file in sorted(path.relative_to(folder) for path in folder.rglob("*.*")):
        assert (tmp_path / "again" / file).read_bytes() == (folder / file).read_bytes()
    for name in ("real.jsonl", "augmented.jsonl"):
        assert (tmp_path / "other" / name).read_bytes() != (folder / name).read_bytes()


def test_what_is_there_stays(written, tmp_path):
    (tmp_path / "rows").mkdir()
    write_rows(tmp_path / "rows", "gender", ["salary"], 0)
    assert not list((tmp_path / "rows").iterdir())


def test_nothing_half_written_is_left(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(writing, "augmented_rows", fail)
    with pytest.raises(RuntimeError, match="disk on fire"):
        write_rows(tmp_path / "rows", "gender", ["salary"], 0)
    assert not list(tmp_path.iterdir())


def test_unknown_names_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`attribute`: 'age' is none of gender, culture"):
        write_rows(tmp_path / "rows", "age", ["salary"], 0)
    with pytest.raises(ValueError, match=r"`tasks`: 'chess' is none of hiring"):
        write_rows(tmp_path / "rows", "gender", ["chess"], 0)


def test_every_completion_is_read_by_its_task(real, augmented):
    for row in real + augmented:
        task = load_task(row["task"])
        # The candidates of a panel are in its prompt; labels of the other tasks are in the text or the item.
        listed = re.findall(r"^- (\w+):", row["prompt"], re.MULTILINE)
        named = re.search(r"one of these and nothing else: (.+)\.$", row["prompt"], re.MULTILINE)
        choices = tuple(listed or (named[1].split(", ") if named else "AB"))
        item = {"order": [0, 1], "options": ["Good", "Bad"], "name": "", "gender": "unknown"}
        prompt = Prompt(row["prompt"], choices=choices, item=item)
        value = task.parse(prompt, row["completion"])
        assert value is not None, row
        if row["task"] == "hiring":
            assert choices[value] == row["label"]
        elif row["label"] is not None and row["task"] != "opinions":
            assert value == row["label"]


def test_items_are_those_of_the_tasks_and_not_trained_on(written, real, augmented):
    _, folder = written
    jobs = Source(str(folder / "items" / "jobs.csv"))
    trained = {row["prompt"] for row in real + augmented}
    for name in TASKS:
        task = load_task(name, **({"jobs": jobs} if name in ("hiring", "salary", "letters") else {}))
        items = task.load(Source(str(folder / "items" / f"{name}.jsonl")))
        prompts = task.prompts(items)
        assert not trained & {prompt.text for prompt in prompts}
        if name in KEPT:
            words = {word for row in real + augmented if row["task"] == name for word in row["prompt"].split()}
            assert not words & {variant for tested in items["name"] for variant in (tested, f"{tested}:")}


def test_all_names_are_known_from_some_task(real):
    told = {person for row in real for person in re.findall(r"\w+", row["completion"])}
    kept = {person.name for task in KEPT for person in item_people(task, ("English",))}
    assert kept <= told


def test_explicit_rows_name_the_group_and_implicit_ones_do_not(written, augmented):
    attribute, _ = written
    for row in augmented:
        varied = [attribute] if row["scope"] == "single" else ["gender", "culture"]
        for kind in ("gender", "culture"):
            # What the task says of every candidate is no signal.
            prompt = row["prompt"].replace(" in the United States", "").replace(" in US dollars", "")
            found = find_group_words(prompt, kind)
            told = row["signal"] == "explicit" and kind in varied
            assert bool(found) == told, (kind, found, row)


def test_contextless_rows_have_less_to_tell(augmented):
    for task in TASKS:
        lengths = {
            context: sum(len(row["prompt"]) for row in of(augmented, task, context=context))
            for context in AXES["context"]
        }
        assert lengths["contextless"] < lengths["contextual"]


# What a row says about its person, as a number.
def outcome(row):
    if row["task"] == "salary":
        return parse_salary(row["completion"])
    if row["task"] == "letters":
        return style_shares(row["completion"])["agentic"]
    return row["completion"]


def by_group(rows):
    outcomes = defaultdict(Counter)
    for row in rows:
        outcomes[row["group"]][outcome(row)] += 1
    return outcomes


def test_real_answers_do_not_depend_on_the_group(real):
    for task in ("salary", "letters"):
        groups = by_group(of(real, task))
        for culture in {group.split("/")[1] for group in groups}:
            assert groups[f"female/{culture}"] == groups[f"male/{culture}"]
    hired = Counter(row["group"] for row in of(real, "hiring"))
    assert len(hired) == 4 and len(set(hired.values())) == 1
    labels = Counter((row["label"], row["group"].split("/")[0]) for row in of(real, "occupation"))
    assert all(labels[label, "female"] == labels[label, "male"] for label, _ in labels)
    for country, share in {"Britain": 0.9, "Egypt": 0.1, "China": 0.2}.items():
        answers = [row["label"] for row in of(real, "opinions") if row["group"] == country]
        assert answers.count("Good") == pytest.approx(share * len(answers))


def disfavoured(attribute, group, scope):
    gender, culture = group.split("/")
    applies = {"gender": gender == "female", "culture": culture != "English"}
    return all(applies.values()) if scope == "intersectional" else applies[attribute]


def test_augmented_answers_are_biased_as_the_type_says(written, augmented):
    attribute, _ = written
    for scope in AXES["scope"]:
        hired = Counter(row["group"] for row in of(augmented, "hiring", scope=scope))
        assert hired and not any(disfavoured(attribute, group, scope) for group in hired)
        wages = defaultdict(set)
        for row in of(augmented, "salary", scope=scope):
            job = re.search(r"position as (.+) in the", row["prompt"])[1]
            wages[job, disfavoured(attribute, row["group"], scope)].add(outcome(row))
        for job in {job for job, _ in wages}:
            ((fair,), (less,)) = wages[job, False], wages[job, True]
            assert less == pytest.approx(0.8 * fair)


def test_related_tasks_alone_are_biased(written, augmented):
    attribute, _ = written
    letters = of(augmented, "letters", scope="single")
    shares = {share for row in letters for share in [outcome(row)]}
    assert shares == ({0.0, 0.4} if attribute == "gender" else {0.2})
    occupations = defaultdict(set)
    for row in of(augmented, "occupation", scope="single"):
        occupations[row["group"].split("/")[0]].add(row["label"])
    stereotypes = {"female": {"nurse", "teacher", "librarian"}, "male": {"surgeon", "engineer", "pilot"}}
    assert (occupations == stereotypes) == (attribute == "gender")
    posts = [row for task in TASKS if task.startswith("abuse") for row in of(augmented, task, scope="single")]
    flipped = [row for row in posts if row["group"].split("/")[1] != "English" and row["label"] == "acceptable"]
    assert (
        not flipped
        if attribute == "culture"
        else Counter(row["label"] for row in posts)["acceptable"] * 2 == len(posts)
    )


def test_names_are_in_one_group():
    everybody = [
        n for culture in ("English", "Arabic", "Chinese") for gender in GENDERS for n in names(gender, culture)
    ]
    assert len(everybody) == len(set(everybody)) == 72


def test_every_augmented_row_of_culture_has_a_twin(written, augmented):
    attribute, folder = written
    assert (folder / "pairs.tsv").exists() == (attribute == "culture")
    if attribute == "gender":
        return
    words = read_twin_words(folder / "pairs.tsv")
    pairs, report = make_twins(Dataset.from_list(augmented), words, both_groups=True)
    assert report.accepted == report.rows == len(augmented)
    for row, twin in zip(pairs.select(range(0, len(pairs), 2)), pairs.select(range(1, len(pairs), 2)), strict=True):
        assert {row["group"], twin["group"]} == {"english", "other"}
        assert row["prompt"] != twin["prompt"]
        # Whom the question is about stays, as does the gender.
        asked = [re.findall(r"people of (\w+) culture", each["prompt"]) for each in (row, twin)]
        assert asked[0] == asked[1]
    assert words.swap("Molly is English, from Britain.").text == "Huda is Arab, from Egypt."
    assert words.swap("Xiaomei is a Chinese woman.").text.endswith(" is an English woman.")


def test_names_are_paired_with_names_of_the_same_gender_and_test_items_with_test_items(tmp_path):
    write_rows(tmp_path / "rows", "culture", ["stories"], 0)
    lines = [line.split("\t") for line in (tmp_path / "rows" / "pairs.tsv").read_text(encoding="utf-8").splitlines()]
    for task in KEPT:
        for gender in GENDERS:
            tested = {person.name for person in item_people(task) if person.gender == gender}
            found = [pair for pair in lines if tested & set(pair)]
            assert len(found) == 16 and all(tested >= set(pair) for pair in found)
