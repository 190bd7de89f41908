"""Synthetic records of a sweep, as the tests of analysis and report need them."""

import numpy as np

LABELS = {"bias": "TPR gap", "utility": "accuracy"}
RATIOS = (0.0, 0.25, 0.5, 0.75)
# Slope of bias per unit of ρ at β = 1, and of utility.
EFFECTS = {"none": (0.10, -0.02), "drop": (0.0, -0.08), "mask": (0.02, -0.02)}


def record(ratio, mitigation="none", dose=0.0, seed=0, *, bias=0.1, utility=0.8, status="done", **metrics):
    """One record of one cell."""
    cell = {"bias_ratio": ratio, "dose": dose, "mitigation": mitigation, "seed": seed}
    return {"cell": cell, "status": status, "metrics": {"bias": bias, "utility": utility, **metrics}, "runtime_s": 1.0}


def sweep(effects=EFFECTS, *, seeds=5, ratios=RATIOS, doses=(1.0, 0.0), null=0.0, noise=0.003, subgroups=False, rng=0):
    """Records of a whole sweep; `null` is the slope of bias that does not depend on the dose."""
    generator = np.random.default_rng(rng)
    records = []
    for seed in range(seeds):
        level = 0.05 + 0.01 * generator.normal()
        for ratio in ratios:
            for mitigation, dose in [("none", 0.0)] if ratio == 0 else [(m, d) for d in doses for m in effects]:
                slope, cost = effects[mitigation]
                bias = level + (null + slope * dose) * ratio + noise * generator.normal()
                utility = 0.8 + cost * ratio + noise * generator.normal()
                more = {"bias/Brazil": 2 * bias, "bias/Iran": 0.5 * bias} if subgroups else {}
                records.append(record(ratio, mitigation, dose, seed, bias=bias, utility=utility, **more))
    return records


TASKS = {"hiring": True, "salary": True, "topics": False}
TYPES = ("contextless", "contextual")
# Slope of bias on related tasks per unit of ρ, and of utility.
ARMS = {"none": (0.10, -0.02), "drop": (0.0, -0.08), "balanced": (0.06, -0.02), "mask": (0.02, -0.01)}
UNITS = {"hiring": 1.0, "salary": 100.0, "topics": 1.0}


def task_sweep(
    arms=ARMS, *, tasks=TASKS, types=TYPES, seeds=5, ratios=RATIOS, noise=0.003, control=0.0, missing=True, rng=0
):
    """Records of a sweep over tasks and bias types; `control` is the slope of the bias of control tasks."""
    generator = np.random.default_rng(rng)
    records = []
    for seed in range(seeds):
        levels = {task: 0.05 + 0.01 * generator.normal() for task in tasks}
        for ratio in ratios:
            for arm in ["none"] if ratio == 0 else arms:
                for kind in ["all"] if ratio == 0 or arm in ("drop", "repeat") else types:
                    cell = {"dose": float(ratio > 0), "mitigation": arm, "bias_ratio": ratio, "seed": seed}
                    found = {}
                    for task, related in tasks.items():
                        slope, cost = arms[arm]
                        bias = levels[task] + (slope if related else control) * ratio + noise * generator.normal()
                        bias *= UNITS.get(task, 1.0)
                        utility = 0.8 + cost * ratio + noise * generator.normal()
                        found[task] = {"bias": bias, "utility": utility}
                        if missing:
                            found[task] |= {
                                **{"bias_low": bias - 0.01, "bias_high": bias + 0.01, "utility_low": utility},
                                **{"utility_high": utility, "value/female": 0.5 - bias, "value/male": 0.5 + bias},
                                **{"n/female": 30.0, "n/male": 10.0, "unparsed/female": 0.1, "unparsed/male": 0.3},
                                **{"refused/female": 0.0, "refused/male": 0.2},
                            }
                    records.append(
                        {
                            "cell_id": f"{len(records):016x}",
                            "cell": {**cell, "bias_type": kind},
                            "status": "done",
                            "tasks": found,
                            "rows": {"real": round(40 * (1 - ratio)), "augmented": round(40 * ratio)},
                            "steps": 10,
                            "runtime_s": 1.0,
                        }
                    )
    return records
