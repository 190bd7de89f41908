"""The command `mitigate`: each subcommand is a recipe with a `main` of its own."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version

# Recipe and purpose by subcommand; a recipe is imported when it is called, as most take seconds to import.
COMMANDS = {
    "augment": ("mitigate.recipes.augment", "let an LLM write rows from yours, in six bias types"),
    "audit": ("mitigate.recipes.audit", "compare augmented rows with real ones before training"),
    "report": ("mitigate.recipes.report", "make the report of a sweep from its folder, or compare two"),
}


def main(arguments: list[str] | None = None) -> int:
    """
    Run a subcommand.

    Args:
        arguments (`list[str]`, *optional*):
            Command line; by default the program's.

    Returns:
        `int`: What the subcommand returns; 2 if there is none of that name.
    """
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in COMMANDS:
        result: int = import_module(COMMANDS[name][0]).main(rest)
        return result
    if name == "--version":
        print(f"mitigate {version('mitigate')}")
        return 0
    listed = "\n".join(f"  {command:<8}{purpose}" for command, (_, purpose) in COMMANDS.items())
    usage = f"Usage: mitigate COMMAND [options], or mitigate COMMAND --help\n\nCommands:\n{listed}"
    if name in ("-h", "--help"):
        print(usage)
        return 0
    print(f"There is no command '{name}'.\n{usage}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
