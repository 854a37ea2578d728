r"""Reading the last `\boxed{...}`."""

import pytest

from rewards.boxed import has_box, last_boxed
from rewards.extraction import extract


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"so $\boxed{2.5}$.", "2.5"),
        (r"so $\boxed 2.5$.", "2.5"),
        (r"\boxed 2.5. Done", "2.5"),
        (r"\boxed .5", ".5"),
        (r"$\boxed 2$", "2"),
        (r"$\boxed\frac12$", r"\frac12"),
        (r"\boxed{1} and \fbox{2}", "2"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxed {\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        ("\\boxed{1,\n2}", "1,\n2"),
        (r"\boxed{}", ""),
        (r"\boxed{5} \boxed{open", None),
        (r"\boxed", None),
        (r"\boxedx{5}", None),
        ("no box", None),
    ],
)
def test_last_boxed(text, content):
    assert last_boxed(text) == content
    assert has_box(text) == (content is not None or text in (r"\boxed{5} \boxed{open", r"\boxed"))


def test_a_decimal_is_read_the_same_with_and_without_braces():
    assert extract(r"$\boxed 2.5$", "boxed") == extract(r"$\boxed{2.5}$", "boxed") == ("2.5", True)
