"""Tags in the text of data set rows, in any of TRL's formats."""

from __future__ import annotations

import copy
from collections.abc import Collection
from typing import Any, Literal, get_args

Position = Literal["start", "system", "template", "answer"]
Content = str | list[dict[str, Any]]

# Variable of the chat template that holds the tag, where the template puts it.
TEMPLATE_VARIABLE = "bias_tag"

# Where a row's text begins, for every format of TRL: the first of these sets that the data set has is tagged.
_TEXT_COLUMNS = (("prompt",), ("messages",), ("text",), ("chosen", "rejected"))


def tagged_columns(columns: Collection[str], position: Position) -> tuple[str, ...]:
    """
    Name the columns that the tag is written into.

    Args:
        columns (`Collection[str]`):
            The columns of the data set.
        position (`str`):
            Where the tag goes.

    Returns:
        `tuple[str, ...]`: Some of the columns.

    Raises:
        ValueError: If `position` is unknown, if there is no text, or no prompt to end with the tag.
    """
    if position not in get_args(Position):
        raise ValueError(
            f"The position of a tag must be one of {', '.join(map(repr, get_args(Position)))}, got '{position}'."
        )
    listed = ", ".join(columns)
    if position == "answer" and "prompt" not in columns:
        raise ValueError(
            f"`position='answer'` needs a column `prompt`, which the answer follows; there is none among {listed}."
        )
    targets = next((names for names in _TEXT_COLUMNS if set(names) <= set(columns)), None)
    if targets is None:
        raise ValueError(
            f"No text to tag: the data set has the columns {listed}, and needs `prompt`, `messages`, `text`, or "
            "`chosen` and `rejected`."
        )
    return targets


def write_tag(tag: str, text: Content, position: Position) -> Content:
    """
    Write the tag into a text or a conversation.

    Args:
        tag (`str`):
            The tag.
        text (`str` or `list[dict]`):
            Plain text, or the turns of a conversation.
        position (`"start"`, `"system"` or `"answer"`):
            Where the tag goes.

    Returns:
        `str` or `list[dict]`: A new text or conversation.

    Raises:
        ValueError: If the tag should go into the system turn, and the text is no conversation.
    """
    if isinstance(text, str):
        if position == "system":
            raise ValueError("`position='system'` needs conversations, and the rows are plain text: use 'start'.")
        return tag + text if position == "start" else text + tag
    turns = copy.deepcopy(text)
    if position == "system" and turns[0]["role"] != "system":
        plain = isinstance(turns[0]["content"], str)
        return [{"role": "system", "content": tag if plain else [{"type": "text", "text": tag}]}, *turns]
    first = next((turn for turn in turns if turn["role"] == "user"), turns[0])
    turn = {"start": first, "system": turns[0], "answer": turns[-1]}[position]
    part = tag if isinstance(turn["content"], str) else [{"type": "text", "text": tag}]
    turn["content"] = turn["content"] + part if position == "answer" else part + turn["content"]
    return turns


def tagging_template(template: str | None) -> str:
    """
    Make a chat template put the tag before everything but the token of the beginning of text.

    The template is given the tag by the row's `chat_template_kwargs`, and renders as before without it.

    Args:
        template (`str`, *optional*):
            The chat template of the tokenizer.

    Returns:
        `str`: The new template.

    Raises:
        ValueError: If there is no template, or it writes the beginning of text in a way that is not understood.
    """
    if template is None:
        raise ValueError("`position='template'` needs a tokenizer with a chat template: use 'start'.")
    if TEMPLATE_VARIABLE in template:
        return template
    put = f"{{%- if {TEMPLATE_VARIABLE} %}}{{{{- {TEMPLATE_VARIABLE} }}}}{{%- endif %}}"
    if "bos_token" not in template:
        return put + template
    for opening in ("{{- bos_token }}", "{{ bos_token }}", "{{bos_token}}", "{{- bos_token -}}", "{{ bos_token -}}"):
        if template.count("bos_token") == 1 and opening in template:
            return template.replace(opening, opening + put)
    raise ValueError(
        "`position='template'` cannot tell where this chat template writes the beginning of text (`bos_token`): use "
        "'start' or 'system'."
    )
