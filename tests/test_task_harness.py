"""The tasks in lm-evaluation-harness give what they give without it."""

import pytest
from datasets import Dataset
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from transformers import LlamaConfig, LlamaForCausalLM

from mitigate.tasks import Source, evaluate, load_task
from mitigate.tasks.harness import HarnessTask
from tests.tiny_tokenizers import byte_level_bpe

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
)


@pytest.fixture
def tiny():
    tokenizer = byte_level_bpe()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config), tokenizer


def run(model, tokenizer, task, items, **options):
    harness = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4, device="cpu")
    manager = TaskManager(include_defaults=False)  # it takes half a minute to read them all
    tasks = [HarnessTask(task, items)]
    results = simple_evaluate(harness, tasks=tasks, task_manager=manager, bootstrap_iters=0, **options)
    return results["results"][f"mitigate-{task.name}"]


@pytest.mark.parametrize("template", [None, TEMPLATE])
def test_choices(tiny, template):
    model, tokenizer = tiny
    tokenizer.chat_template = template
    task = load_task("topics")
    items = Dataset.from_dict(
        {"text": [f"she met him {i}" for i in range(12)], "label": ["world", "sports", "business"] * 4}
    )
    found = run(model, tokenizer, task, items, apply_chat_template=template is not None)
    scores = evaluate(task, model, tokenizer, items)
    assert found["utility,none"] == pytest.approx(scores.utility)
    assert found["bias,none"] == pytest.approx(scores.bias)
    assert found["unparsed,none"] == 0


def test_orders_are_balanced_there_too(tiny, tmp_path):
    (tmp_path / "jobs.csv").write_text("occupation,profile\nnurse,{name} is trained.\n", encoding="utf-8")
    task = load_task("hiring", jobs=Source(str(tmp_path / "jobs.csv")), groups=("f", "m"), panels_per_job=4)
    items = Dataset.from_dict({"name": ["Ann", "Bea", "Cy", "Dan"], "group": ["f", "f", "m", "m"]})
    scores = evaluate(task, *tiny, items)
    assert run(*tiny, task, items)["bias,none"] == pytest.approx(scores.bias)


def test_texts(tiny):
    task = load_task("arithmetic")
    items = Dataset.from_dict({"question": ["she and he?", "her or him?"], "answer": ["#### 1", "#### 2"]})
    found = run(*tiny, task, items)
    scores = evaluate(task, *tiny, items)
    assert found["utility,none"] == scores.utility
    assert found["unparsed,none"] == max(group.unparsed for group in scores.groups.values())


def test_the_command_line_finds_a_function_by_its_file(tmp_path):
    (tmp_path / "my_tasks.py").write_text(
        "from mitigate.tasks import load_task\n"
        "from mitigate.tasks.harness import HarnessTask\n\n\n"
        "def hiring():\n    return HarnessTask(load_task('hiring', panels_per_job=1))\n",
        encoding="utf-8",
    )
    (tmp_path / "hiring.yaml").write_text(
        "task: mitigate-hiring\nclass: !function my_tasks.hiring\n", encoding="utf-8"
    )
    manager = TaskManager(include_path=str(tmp_path), include_defaults=False)
    task = manager.load(["mitigate-hiring"])["tasks"]["mitigate-hiring"]
    assert len(task.test_docs()) == 48
