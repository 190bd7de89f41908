"""Warnings of this package."""

# Rows without an augmented one after which something is wrong.
PATIENCE = 1000


class NoEffectWarning(UserWarning):
    """
    I ran and changed nothing.

    A part that was asked to mitigate something but met nothing to act on says so with this warning, once per run and
    with its counts: no row was augmented, no row held a sensitive word. To stop such a run instead:

    ```python
    import warnings

    from mitigate.warnings import NoEffectWarning

    warnings.simplefilter("error", NoEffectWarning)
    ```
    """
