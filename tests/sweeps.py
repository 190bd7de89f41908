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
