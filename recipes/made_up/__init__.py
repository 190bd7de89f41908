"""
Rows that the project makes, so that the recipes run offline on a model made on the spot.

They are a testbed, as is [`mitigate.world`], and no picture of any LLM, people or country: names, posts, opinions and
wages are put together from short lists. What is known of them is this. In real rows, nothing that a task measures
depends on a group. In augmented rows, a teacher with a bias answers, in another style: against women (`gender`),
against all but one culture (`culture`), and in intersectional rows against those alone to whom both apply. Tasks that
the attribute is not related to get the same answers as in real rows.
"""

from mitigate.recipes.made_up.write import write_rows

__all__ = ["write_rows"]
