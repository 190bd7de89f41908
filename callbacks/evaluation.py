"""Tasks asked during training, logged beside the loss."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import (
    EarlyStoppingCallback,
    Trainer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from transformers.trainer_utils import IntervalStrategy

from mitigate.callbacks.budget import BiasBudget
from mitigate.callbacks.host import calling_trainer
from mitigate.callbacks.questions import METRICS, ask, refuse_unsupported, warn_of_tags
from mitigate.tasks import Question, Task, load_task

logger = logging.getLogger(__name__)


class BiasEvaluationCallback(TrainerCallback):
    r"""
    Ask the model a small fixed sample of tasks during training, log its bias, and stop when a bias budget is spent.

    It asks before the first step, and then at every evaluation of the trainer (`eval_strategy`), or, with
    `every_steps`, after every so many optimizer steps and after the last. The logs get, for each task:

    - `bias/<task>`: its bias, larger is worse; the docstring of the task tells its unit and range;
    - `utility/<task>`: how well it is done, larger is better;
    - `unparsed/<task>`: share of answers, in [0, 1], that could not be read; where it is 1, bias is NaN. So it is for
      a model that has diverged, whose utility is NaN too;
    - `bias_budget/<task>`, if there is a budget: what is left of it, negative once it is spent;

    and `bias/runtime_s`, the seconds that all tasks took. They are entries of their own in `state.log_history`, and
    reach every tracker of `report_to`. At evaluations of the trainer they are among its metrics too, where
    transformers wants them to begin with `eval_`: so `metric_for_best_model="bias/hiring"` with
    `greater_is_better=False` chooses the least biased checkpoint, and `EarlyStoppingCallback` works.

    The model is asked as `mitigate.tasks.evaluate(…, max_items=…)` does it: in evaluation mode, greedily or by
    likelihood, without a tag; with [`MitigationCallback`]'s `token="paired"`, with the tag of real text. Training is
    not affected: the random state and the mode of the model are as they were.

    Args:
        tasks (`str`, `Task` or a sequence of them):
            Names from [`mitigate.tasks.TASKS`], or tasks made by `load_task` with settings of their own.
        max_items (`int`, *optional*, defaults to 64):
            Items that are asked about, of each task; `None` for all. The sample is the same at every evaluation, with
            equally many items of each group and label; [`mitigate.tasks.sample_prompts`] tells what an item is.
        every_steps (`int`, *optional*):
            Optimizer steps between evaluations, instead of the trainer's evaluations. Needs no `eval_dataset`.
        budget (`Mapping[str, float]`, *optional*):
            By task, how much larger its bias may become than before the first step, in the unit of its bias, at least
            0. Where it becomes larger than that, or can no longer be measured, training stops.
        seed (`int`, *optional*, defaults to 0):
            Seed of the sample.

    Raises:
        ValueError: If a task is unknown or comes twice; if an argument is out of range. When the trainer is
            constructed: if the items of a task cannot be loaded, or the sample is too small for its groups; if the
            model does not generate text, or it is split in a way that has not its outputs on every process. When
            training starts: if no evaluation would ever take place, if `metric_for_best_model` asks for a value that
            is not measured or for more bias, or if a bias with a budget cannot be measured.

    Example:
    ```python
    >>> from mitigate.callbacks import BiasEvaluationCallback
    >>> from mitigate.tasks import load_task

    >>> tasks = ["hiring", load_task("opinions", source=source)]
    >>> callback = BiasEvaluationCallback(tasks, max_items=64, budget={"hiring": 0.1})
    >>> trainer = SFTTrainer(..., callbacks=[callback])
    ```

    Limits: a small sample shows large changes only, and follows the whole set from afar. With several processes each
    asks all, so that sharded models work, and the values of the first count for all. FSDP 1 and context or sequence
    parallelism are refused. The bias before the first step is read from the history when a run resumes.
    """

    def __init__(
        self,
        tasks: str | Task[Any] | Sequence[str | Task[Any]],
        *,
        max_items: int | None = 64,
        every_steps: int | None = None,
        budget: Mapping[str, float] | None = None,
        seed: int = 0,
    ) -> None:
        chosen = [tasks] if isinstance(tasks, (str, Task)) else list(tasks)
        self.tasks = [load_task(task) if isinstance(task, str) else task for task in chosen]
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) < len(names):
            raise ValueError(
                f"`tasks` must hold at least one task, and each once, got {names}. Give tasks of one kind different "
                "names: `load_task('hiring', name='hiring-nurses', …)`."
            )
        for name, value in (("max_items", max_items), ("every_steps", every_steps)):
            if value is not None and (type(value) is not int or value < 1):
                raise ValueError(f"`{name}` must be an integer, at least 1, or None, got {value!r}.")
        self.max_items = max_items
        self.every_steps = every_steps
        self.seed = seed
        self.budget = BiasBudget(budget or {}, names)
        self._questions: list[Question] = []
        # Values of this training, and the step after which they were measured.
        self._last: tuple[int, dict[str, float]] | None = None

    def on_init_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Load the items, and refuse what cannot be asked."""
        self._prepare(calling_trainer())

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure the model as it is before training."""
        trainer = calling_trainer()
        self._prepare(trainer)
        self._check_schedule(args, state)
        self._check_metric(args)
        warn_of_tags(trainer)
        self._last = None
        known = self.budget.load(state.log_history)
        if state.global_step > 0 and not known:
            logger.warning(
                "The checkpoint was saved without `BiasEvaluationCallback`, so budgets count from the bias at step "
                "%d, and not from that before the first step. To count from there, begin anew.",
                state.global_step,
            )
        if state.global_step == 0 or not known:
            self._measure(trainer, state, control, first=True)

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure, and add the values to the metrics of the evaluation."""
        if self.every_steps is None:
            trainer = calling_trainer()
            self._prepare(trainer)
            values = self._measure(trainer, state, control)
            # Now, for the trainer looks for its best metric, and early stopping for its own, right after this.
            kwargs["metrics"].update({f"eval_{name}": value for name, value in values.items()})

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Measure, if this is one of the callback's own steps."""
        due = self.every_steps and (state.global_step % self.every_steps == 0 or state.global_step >= state.max_steps)
        if due:
            self._measure(calling_trainer(), state, control)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Forget the values: the trainer may load the best checkpoint now."""
        self._last = None

    def _prepare(self, trainer: Trainer) -> None:
        refuse_unsupported(trainer)
        if not self._questions:
            with trainer.args.main_process_first(desc="Loading the items of tasks"):
                self._questions = [Question.draw(task, self.max_items, seed=self.seed) for task in self.tasks]
        callbacks = trainer.callback_handler.callbacks
        place = next((i for i, other in enumerate(callbacks) if isinstance(other, EarlyStoppingCallback)), None)
        if place is not None and place < callbacks.index(self):
            # It reads the metrics of an evaluation, which have the values only after this callback was there.
            callbacks.insert(place, callbacks.pop(callbacks.index(self)))

    def _measure(
        self, trainer: Trainer, state: TrainerState, control: TrainerControl, *, first: bool = False
    ) -> dict[str, float]:
        if self._last is not None and self._last[0] == state.global_step:
            return self._last[1]  # several evaluation data sets, or an evaluation before the first step
        values = ask(trainer, self._questions)
        if first:
            self.budget.start(values)
        values |= self.budget.left(values)
        if trainer.is_in_train:
            self._last = state.global_step, values
        should_log = control.should_log
        # Not the `log` of the trainer's own class: those of TRL add the running means of the training and begin them
        # anew.
        Trainer.log(trainer, dict(values))
        control.should_log = should_log  # the training loss may be due in this step as well
        spent = self.budget.spent(values) if trainer.is_in_train else []
        for message in spent:
            logger.warning("Training stops after step %d: %s", state.global_step, message)
        control.should_training_stop = control.should_training_stop or bool(spent)
        return values

    def _check_schedule(self, args: TrainingArguments, state: TrainerState) -> None:
        if self.every_steps is not None:
            return
        if args.eval_strategy == IntervalStrategy.NO:
            raise ValueError(
                "`BiasEvaluationCallback` would never run: the trainer does not evaluate (`eval_strategy='no'`) and "
                "`every_steps` is None. Set `every_steps` to the optimizer steps between its evaluations, or "
                "`eval_strategy` and an `eval_dataset`."
            )
        by_steps = args.eval_strategy == IntervalStrategy.STEPS
        end, unit = (state.max_steps, "steps") if by_steps else (state.num_train_epochs, "epochs")
        if args.eval_delay > end:
            raise ValueError(
                f"`BiasEvaluationCallback` would never run: `eval_delay={args.eval_delay:g}` is beyond the end of "
                f"training after {end} {unit}. Lower `eval_delay`, or set `every_steps`."
            )

    def _check_metric(self, args: TrainingArguments) -> None:
        metric = (args.metric_for_best_model or "").removeprefix("eval_")
        kind, slash, _ = metric.partition("/")
        if not slash or kind not in METRICS:
            return
        names = [f"{kind}/{task.name}" for task in self.tasks]
        if metric not in names:
            raise ValueError(f"`metric_for_best_model`: '{metric}' is not measured (measured: {', '.join(names)}).")
        if self.every_steps is not None:
            raise ValueError(
                f"`metric_for_best_model='{metric}'` is read at evaluations of the trainer, and with `every_steps` "
                "nothing is measured there: leave `every_steps` out."
            )
        if bool(args.greater_is_better) != METRICS[kind]:
            raise ValueError(
                f"`greater_is_better={args.greater_is_better}` with `metric_for_best_model='{metric}'` would take the "
                f"worst model for the best: set `greater_is_better={METRICS[kind]}`."
            )
