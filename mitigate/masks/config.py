"""What is masked and how, and the tokens that this takes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args

from transformers import PreTrainedTokenizerBase

from mitigate.lexicons import Lexicon, load_lexicon
from mitigate.vocabulary import ensure_special_token
from mitigate.words import Finder

MaskMode = Literal["placeholder", "kind", "swap", "random", "loss", "attention"]
Words = str | Path | Lexicon | Iterable[str | Path | Lexicon]


@dataclass(frozen=True)
class MaskConfig:
    """
    What is masked in augmented rows, and how.

    Args:
        lexicon (`str`, `Path`, `Lexicon`, an iterable of them, or a callable, *optional*, defaults to `"gender"`):
            The sensitive words, see [`~mitigate.lexicons.load_lexicon`]; or a finder of them: a function that takes a
            text and gives (first character, character after the last, kind) of each, such as
            [`~mitigate.words.SpacyFinder`].
        mode (`str`, *optional*, defaults to `"placeholder"`):
            What becomes of a sensitive word:

            - `"placeholder"`: the placeholder takes the place of each of its tokens, out of the loss.
            - `"kind"`: likewise, with a placeholder for each kind of words: `<|gender|>`, `<|nationality|>`.
            - `"swap"`: its counterpart takes its place, in the loss, in the same case: another word of the same kind
              and form, at random if there are several, and one that tells of other people where the lexicon says of
              whom its words tell (he for she, a name of a man for one of a woman). A word stays where the lexicon
              has no counterpart, or the tokenizer cannot write any.
            - `"random"`: likewise, but any word of the same kind and form, itself included, all as likely.
            - `"loss"`: it stays, out of the loss.
            - `"attention"`: it stays, out of the loss, and no other token attends to it. Its own position still reads
              it, and from there the next token is predicted.
        probability (`float`, *optional*, defaults to 1.0):
            Probability in (0, 1] with which each occurrence is masked, drawn anew each epoch. With `"swap"` and
            `"random"`, of each text, which is changed as a whole, the same word always to the same other one. To swap
            always turns a bias around; with 0.5, swapped words no longer tell the group.
        random_words (`bool`, *optional*, defaults to `False`):
            Whether to mask other words instead: in each augmented text as many, drawn at random, as are sensitive in
            it, and none of these. It is the control: what it changes too is not owed to the choice of words.
        mask_token (`str` or `Mapping[str, str]`, *optional*):
            The placeholder, a token; by default the tokenizer's own `mask_token`. With `mode="kind"`, the token of
            each kind; those not named are `<|kind|>`.
        seed (`int`, *optional*, defaults to that of the trainer):
            Seed of all that is drawn: by default `args.seed` of the trainer in the callback, and 0 elsewhere. The
            draws depend on the seed, the epoch and the text alone, so any number of data loader workers masks the
            same.

    Raises:
        ValueError: If a lexicon is unknown or empty; if a value is out of range; or if two do not go together.
        FileNotFoundError: If a lexicon's file is not there.

    Example:
    ```python
    >>> from mitigate import MaskConfig
    >>> from mitigate.callbacks import MitigationCallback

    >>> callback = MitigationCallback(mask=MaskConfig(["gender", "names"], mode="swap", probability=0.5))
    ```

    Limits: with `mode="swap"` a text may become a little longer than `max_length`, and where several words can take
    the place of another, two words of one person may come to disagree (a Dutch man from Peru); with `"random"` they
    often do (she and his). Of the pairs of a reward trainer, each text is drawn for by itself.
    """

    lexicon: Words | Finder = "gender"
    mode: MaskMode = "placeholder"
    probability: float = 1.0
    random_words: bool = False
    mask_token: str | Mapping[str, str] | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in get_args(MaskMode):
            known = ", ".join(f"'{mode}'" for mode in get_args(MaskMode))
            raise ValueError(f"`mode` of masking must be one of {known}, got {self.mode!r}.")
        if not 0 < self.probability <= 1:
            raise ValueError(
                f"`probability` of masking must lie in (0, 1], got {self.probability}: leave the mask out for 0."
            )
        if not callable(self.lexicon):
            object.__setattr__(self, "lexicon", load_lexicon(self.lexicon))
        self._check_token()
        if self.mode in ("swap", "random"):
            self._check_swap()
        if self.mode == "kind":
            self.kind_tokens()

    @property
    def words(self) -> Lexicon | None:
        """`Lexicon` or `None`: The lexicon, loaded; `None` if a finder takes its place."""
        return self.lexicon if isinstance(self.lexicon, Lexicon) else None

    @property
    def finder(self) -> Finder | None:
        """`Callable` or `None`: The finder; `None` if there is a lexicon."""
        return None if isinstance(self.lexicon, Lexicon) else cast(Finder, self.lexicon)

    def kind_tokens(self) -> dict[str, str]:
        """
        Return the token of each kind of words.

        Returns:
            `dict[str, str]`: Tokens by kind, sorted by kind.

        Raises:
            ValueError: If nothing tells the kinds, or `mask_token` names one that there is not.
        """
        named = self.mask_token if isinstance(self.mask_token, Mapping) else {}
        kinds = _kinds(self.lexicon)
        if kinds is None and not named:
            raise ValueError(
                "`mode='kind'` needs to know the kinds that the finder gives: name a token for each, as in "
                "`mask_token={'gender': '<|gender|>'}`."
            )
        unknown = set(named).difference(named if kinds is None else kinds)
        if kinds is not None and unknown:
            raise ValueError(
                f"`mask_token` names the kind '{min(unknown)}', and the sensitive words are of the kinds "
                f"{', '.join(sorted(kinds))}: correct it."
            )
        return {kind: named.get(kind, f"<|{kind}|>") for kind in sorted({*(kinds or ()), *named})}

    def _check_token(self) -> None:
        fitting = {"placeholder": (str,), "kind": (Mapping,)}.get(self.mode, ())
        if self.mask_token is not None and not isinstance(self.mask_token, fitting):
            raise ValueError(
                f"`mask_token` must be one token with `mode='placeholder'`, a mapping from kinds to tokens with "
                f"`mode='kind'`, and left out with other modes; got {self.mask_token!r} with '{self.mode}'."
            )

    def _check_swap(self) -> None:
        if self.random_words:
            raise ValueError(
                f"`random_words=True` does not go with `mode='{self.mode}'`, for no list tells what can take the "
                "place of other words. Choose another mode for the control."
            )
        if self.words is None:
            raise ValueError(
                f"`mode='{self.mode}'` needs a lexicon, which tells what can take the place of a word; a finder does "
                "not."
            )
        swapped = {self.words.kind(word) for word in self.words.words if self.words.alternatives(word)}
        left = sorted({*map(self.words.kind, self.words.words)} - swapped)
        if left:
            raise ValueError(
                f"`mode='{self.mode}'` would change no word of the kind '{left[0]}': lexicon '{self.words.name}' has "
                "no two of them that can replace each other. (Where other words agree with a noun, as in Arabic, "
                "Spanish and Portuguese, the lists give none, for these would give the old one away.) Hide these "
                "words with another mode, such as 'placeholder', or add what can take their place."
            )


def _kinds(lexicon: object) -> Collection[str] | None:
    if isinstance(lexicon, Lexicon):
        return {lexicon.kind(word) for word in lexicon.words}
    return getattr(lexicon, "kinds", None)


def mask_token_ids(tokenizer: PreTrainedTokenizerBase, config: MaskConfig) -> dict[str, int]:
    """
    Look up the placeholders.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer.
        config (`MaskConfig`):
            How words are masked.

    Returns:
        `dict[str, int]`: With `mode="kind"`, the id of each kind's token; with `mode="placeholder"`, that of the
        placeholder, under `""`; else nothing.

    Raises:
        ValueError: If one is no token of the vocabulary.
    """
    if config.mode == "kind":
        return _kind_ids(tokenizer, config.kind_tokens())
    if config.mode != "placeholder":
        return {}
    if config.mask_token is None:
        if tokenizer.mask_token_id is None:
            raise ValueError(
                "The tokenizer has no mask token. Add one: "
                '`tokenizer.add_special_tokens({"mask_token": "<|masked|>"})`, then '
                "`model.resize_token_embeddings(len(tokenizer))`; or pass a token of the vocabulary as "
                "`mask_token=…`, such as one of its reserved tokens."
            )
        return {"": int(tokenizer.mask_token_id)}
    token_id = tokenizer.get_vocab().get(str(config.mask_token))
    if token_id is None:
        raise ValueError(
            f"`mask_token` must be one token of the vocabulary, and '{config.mask_token}' is not. Pass one that is, "
            f'or add it: `tokenizer.add_special_tokens({{"mask_token": "{config.mask_token}"}})`, then '
            "`model.resize_token_embeddings(len(tokenizer))`."
        )
    return {"": int(token_id)}


def _kind_ids(tokenizer: PreTrainedTokenizerBase, tokens: dict[str, str]) -> dict[str, int]:
    vocabulary = tokenizer.get_vocab()
    missing = [token for token in tokens.values() if token not in vocabulary]
    if missing:
        listed = ", ".join(f'"{token}"' for token in missing)
        raise ValueError(
            f"`mode='kind'` needs a token for each kind, and the vocabulary lacks {', '.join(missing)}. Add: "
            f'`tokenizer.add_special_tokens({{"extra_special_tokens": [{listed}]}}, '
            "replace_extra_special_tokens=False)`, then `model.resize_token_embeddings(len(tokenizer))`; or name "
            f"tokens of the vocabulary: `mask_token={{'{next(iter(tokens))}': '…'}}`."
        )
    return {kind: int(vocabulary[token]) for kind, token in tokens.items()}


def ensure_mask_tokens(
    tokenizer: PreTrainedTokenizerBase, config: MaskConfig, taken: Collection[str] = ()
) -> MaskConfig:
    """
    Give a tokenizer the placeholders that masking needs, where it lacks them.

    Args:
        tokenizer (`PreTrainedTokenizerBase`):
            The tokenizer, changed in place.
        config (`MaskConfig`):
            How words are masked.
        taken (`Collection[str]`, *optional*):
            Reserved tokens that already have another use.

    Returns:
        `MaskConfig`: The same, with all placeholders named.
    """
    if config.mode == "placeholder":
        token = _ensure(tokenizer, cast("str | None", config.mask_token or tokenizer.mask_token), "<|masked|>", taken)
        if tokenizer.mask_token is None:
            tokenizer.add_special_tokens({"mask_token": token})
        return replace(config, mask_token=token)
    if config.mode == "kind":
        named_kinds = config.mask_token or {}
        tokens: dict[str, str] = {}
        for kind, token in config.kind_tokens().items():
            in_use = [*taken, *tokens.values(), str(tokenizer.mask_token)]
            tokens[kind] = _ensure(tokenizer, token if kind in named_kinds else None, token, in_use)
        return replace(config, mask_token=tokens)
    return config


def _ensure(tokenizer: PreTrainedTokenizerBase, named: str | None, default: str, taken: Collection[str]) -> str:
    wanted = named or default
    if wanted in tokenizer.get_vocab():
        return wanted
    return ensure_special_token(tokenizer, named, default, taken)
