"""Folders of sweeps over tasks, as a sweep leaves them."""

import json

from tests.sweeps import TASKS

VERSIONS = {"python": "3.11.0", "mitigate": "0.1.0"}


def write_folder(folder, records, *, tasks=TASKS, title="A sweep", **config):
    """Write the description and the records that are not missing."""
    (folder / "cells").mkdir(parents=True)
    description = {
        "title": title,
        "config": {"task": "tasks", "tasks": list(tasks), "output_dir": str(folder), "epochs": 1.0, **config},
        "versions": VERSIONS,
        "cells": [record["cell_id"] for record in records],
        "places": [record["cell"] for record in records],
        "tasks": {
            name: {
                "related": related,
                "relation": "direct" if related else "none",
                "labels": {"bias": f"{name} gap", "utility": "accuracy"},
            }
            for name, related in tasks.items()
        },
    }
    (folder / "sweep.json").write_text(json.dumps(description), encoding="utf-8")
    for record in records:
        if record["status"] != "missing":
            (folder / "cells" / f"{record['cell_id']}.json").write_text(json.dumps(record), encoding="utf-8")
    return folder
