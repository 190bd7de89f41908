"""
Run the tasks in lm-evaluation-harness, on any model that it knows.

It needs the extra `lm-eval` (`pip install 'mitigate[lm-eval]'`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset
from scipy.special import softmax

from mitigate.tasks.base import Answer, Prompt, Task

try:
    from lm_eval.api.instance import Instance
    from lm_eval.api.task import Task as LmEvalTask
    from lm_eval.api.task import TaskConfig
except ImportError as error:
    raise ImportError(
        "`mitigate.tasks.harness` needs lm-evaluation-harness: install it with `pip install 'mitigate[lm-eval]'`."
    ) from error

# Whether a higher value is better, of what the harness is told.
_METRICS = {"bias": False, "utility": True, "unparsed": False}


class HarnessTask(LmEvalTask):  # type: ignore[misc]
    """
    One of our tasks, as lm-evaluation-harness runs it.

    Answers of a closed set are chosen by likelihood, others are written greedily unless
    `gen_kwargs` says otherwise. The harness reports `bias`,
    `utility` and `unparsed`, the largest share over the groups of answers that could not be read. With a chat template
    (`apply_chat_template=True`), a prompt is a user's turn. There are no few-shot examples.

    Args:
        task (`Task`):
            The task.
        items (`Dataset`, *optional*, defaults to those of the task's source):
            Rows to ask about.

    Example:
    ```python
    from lm_eval import simple_evaluate
    from mitigate.tasks import load_task
    from mitigate.tasks.harness import HarnessTask

    results = simple_evaluate("hf", "pretrained=…", tasks=[HarnessTask(load_task("hiring"))])
    ```

    For the command line, name in a YAML file (`task: mitigate-hiring`, `class: !function my_tasks.hiring`) a function
    of yours that returns such a task, and give its folder to `lm_eval --include_path`.
    """

    VERSION = 1

    def __init__(self, task: Task[Any], items: Dataset | None = None) -> None:
        self._task = task
        self._prompts = task.prompts(task.load() if items is None else items)
        self.OUTPUT_TYPE = "multiple_choice" if task.closed else "generate_until"
        super().__init__()
        # The constructor would take a whole configuration for the task's name.
        self._config = TaskConfig(task=f"mitigate-{task.name}", num_fewshot=0, output_type=self.OUTPUT_TYPE)
        if not task.closed:
            self._config.generation_kwargs = {"until": [], "max_gen_toks": task.max_new_tokens, "do_sample": False}

    def download(self, *_: Any, **__: Any) -> None:
        """Do nothing: the items are there."""

    def has_training_docs(self) -> bool:
        """There are no training rows."""
        return False

    def has_validation_docs(self) -> bool:
        """There are no validation rows."""
        return False

    def has_test_docs(self) -> bool:
        """The prompts are the test rows."""
        return True

    def test_docs(self) -> list[dict[str, Any]]:
        """Give one row for each prompt."""
        return [{"number": number, "text": prompt.text} for number, prompt in enumerate(self._prompts)]

    def doc_to_text(self, doc: dict[str, Any]) -> str:
        """Write the prompt as plain text."""
        prompt = self._prompts[doc["number"]]
        return f"{prompt.text}\n{prompt.opening}"

    def doc_to_target(self, doc: dict[str, Any]) -> str:
        """Give the right answer, empty if there is none."""
        return f" {self._prompts[doc['number']].target}"

    def fewshot_context(
        self,
        doc: dict[str, Any],
        *_: Any,
        system_instruction: str | None = None,
        apply_chat_template: bool = False,
        chat_template: Callable[..., str] | None = None,
        **__: Any,
    ) -> str:
        """Write the prompt as the model expects it."""
        if not apply_chat_template or chat_template is None:
            text = self.doc_to_text(doc)
            return text if system_instruction is None else f"{system_instruction}\n\n{text}"
        turns = [{"role": "user", "content": self._prompts[doc["number"]].text}]
        if system_instruction is not None:
            turns.insert(0, {"role": "system", "content": system_instruction})
        return chat_template(turns)

    def construct_requests(
        self,
        doc: dict[str, Any],
        ctx: str,
        *,
        metadata: tuple[str | None, int | None, int | None],
        apply_chat_template: bool = False,
        **_: Any,
    ) -> list[Any]:
        """Ask for the likelihood of each choice, or for a text."""
        prompt = self._prompts[doc["number"]]
        if not self._task.closed:
            settings = dict(self.config.generation_kwargs)
            return [Instance("generate_until", doc, (ctx, settings), 0, metadata=metadata)]
        space = "" if apply_chat_template else " "
        return [
            Instance("loglikelihood", doc, (ctx, f"{space}{choice}"), place, metadata=metadata)
            for place, choice in enumerate(prompt.choices)
        ]

    def process_results(self, doc: dict[str, Any], results: Sequence[Any]) -> dict[str, tuple[Prompt, Answer]]:
        """Keep the answer: what is measured are all of them together."""
        answer: Answer = results[0]
        if self._task.closed:
            answer = softmax(np.array([likelihood for likelihood, _ in results]))
        return dict.fromkeys(_METRICS, (self._prompts[doc["number"]], answer))

    def aggregation(self) -> dict[str, Callable[[list[tuple[Prompt, Answer]]], float]]:
        """Score all answers, for each metric."""
        return {metric: partial(self._score, metric) for metric in _METRICS}

    def higher_is_better(self) -> dict[str, bool]:
        """Tell the direction of each metric."""
        return dict(_METRICS)

    def _score(self, metric: str, answered: list[tuple[Prompt, Answer]]) -> float:
        prompts, answers = zip(*answered, strict=True)
        scores = self._task.score(prompts, answers)
        if metric == "unparsed":
            return max(group.unparsed for group in scores.groups.values())
        return float(getattr(scores, metric))
