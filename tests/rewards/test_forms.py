# ruff: noqa: E501 (tables)
r"""What models really write, by class: equal pairs and near misses of the same shape, in both directions.

Format of the tables: see cases.py.
"""

import pytest

from rewards.equality import compare
from rewards.pool import shared
from tests.rewards.cases import pairs

FORMS = {
    "words": (
        r"""
No | no ; YES | yes ; \text{No} | no ; \text{IV} | iv ; IV | IV ; LQSX | \text{LQSX} ; A | \text{(A)} ; \text{(A)} | (a) ; {(e)} | \text{E} ; \text{E} | e
xy | yx ; xy | y \cdot x ; abc | c b a ; hk | h \cdot k ; mn | m n ; 2AB | 2BA ; \text{Monday, Tuesday} | Monday, Tuesday ; "yes" | yes ; \textnormal{even} | even
\overline{AB} | \overline{BA} ; \overline{AB} | AB ; \text{segment } AB | \overline{BA} ; \angle ABC | \angle CBA ; \overleftrightarrow{PQ} | \overleftrightarrow{QP}
""",
        r"""
IV | VI ; on | no ; is | si ; AB | BA ; CD | DC ; XY | YX ; MAKE | KAME ; bad | dab ; \text{xy} | yx ; \text{xy} | y \cdot x ; IV | V \cdot I ; \text{IV} | VI
x | X ; (x) | X ; \text{E} | F ; \text{(A)} | (B) ; xy | xz ; xy | XY ; xy | x+y ; 2IV | 2VX ; \text{Monday, Tuesday} | Tuesday, Monday
\overline{AB} | \overline{AC} ; \overrightarrow{AB} | \overrightarrow{BA} ; \angle ABC | \angle BAC ; \overline{AB} | \angle AB ; \triangle ABC | \triangle ABD
""",
    ),
    "escapes": (
        r"""
\\frac{3}{4} | \frac{3}{4} ; \\\\frac{1}{2} | 0.5 ; \\sqrt{2} | \sqrt{2} ; 2\\pi | 2\pi ; \\{1,2\\} | \{1,2\} ; \\left(1, \\frac{1}{2}\\right) | (1, 1/2) ; \\$12 | 12
\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix} | \begin{pmatrix}1\\2\end{pmatrix} ; \\frac{1}{2} \\text{ or } 3 | 3, 1/2 ; $\$12$ | 12 ; 12\ | 12 ; 12\\ | 12 ; 5\\% | 5
12,\! 345,\! 678 | 12345678 ; 1,000.50 m² | 1000.5 ; 125\textnormal{ miles} | 125 ; {\frac{1}{2}} | 1/2
""",
        r"""
\\frac{3}{4} | \frac{4}{3} ; \\sqrt{2} | 2 ; \\pi | p i ; $\$12$ | 21 ; 12\ | 1 ; 12\3 | 123 ; 12,\! 345 | 12, 345 ; 1,000.50 m² | 1000.05 ; \\{1,2\\} | (1,2)
\begin{pmatrix} 1 \\ 2 \end{pmatrix} | \begin{pmatrix} 1 & 2 \end{pmatrix} ; \\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix} | \begin{pmatrix}2\\1\end{pmatrix}
""",
    ),
    "units": (
        r"""
25 km/h | 25 ; 25 m/s | 25 ; 3 \text{ m/s}^2 | 3 ; 25 \frac{\text{m}}{\text{s}} | 25 ; 60 miles per hour | 60 ; \frac{1}{2} cups of flour | 0.5 ; 12 sq. ft. | 12
25\,\text{cm}^2 | 25 cm² ; 5 kg m^2 | 5 ; x^2 \text{ cm}^2 | x^2 ; 1,080^\circ | 1080 ; 22\frac{1}{2}^\circ | 22.5 ; 30^\circ\text{C} | 30 ; 30°C | 30 ; 3 apples, 4 oranges | 3, 4
(3 \text{ cm}, 4 \text{ cm}) | (3,4) ; \text{42 apples} | 42 ; 5 per hour | 5 ; 3 cm + 4 cm | 7
""",
        r"""
2 \sin x | 2 ; 2xyz | 2 ; 2abc | 2 ; 3m | 3 ; 3 m | 3 ; 3x \text{ cm} | 3 ; 42 \text{ million} | 42 ; 3 dozen | 3 ; 42 \text{ or more} | 42 ; 5 squared | 5
42 \text{ is wrong} | 42 ; 42 \text{ mod } 5 | 42 ; 7 \text{ hundredths} | 7 ; 6:30 \text{ p.m.} | 6:30 \text{ a.m.} ; 5 miles 3 | 5 ; 5 miles 3 | 53 ; 25 km/h | 52 ; 2 \text{ if } x | 2
""",
    ),
    "names": (
        r"""
(x, y) = (1, 2) | (1,2) ; (a,b,c) = (1,2,3) | (1,2,3) ; (x,y) = (1,2), (3,4) | (3,4), (1,2) ; (x,y) = (1,2) \text{ or } (x,y) = (3,4) | (3,4), (1,2) ; (x,y) = (1,2) | y = 2, x = 1
f(x) = 1 or f(x) = -1 | 1, -1 ; $f(x)=1$,$f(x)=-1$ | f(x) = -1 \text{ or } f(x) = 1 ; a_n = 2^n | 2^n ; f'(x) = 2x | 2x ; \theta = 30^\circ | 30 ; \text{Area} = 25 | 25 ; AB = 5 | 5
k = 4 \text{ and } n = 2 | 4, 2 ; k = 4 \text{ and } n = 2 | (4, 2) ; k = 4 \text{ and } n = 2 | (k, n) = (4, 2) ; y = 2, x = 1 | (1, 2) ; x=1 \text{ and } y=2 | (1,2) ; 4 = x | 4
I_{\max} | I_{\max } ; m_{\max }=n^{2}-n-1 | n^2-n-1 ; 2 I_{\max} | I_{\max} \cdot 2 ; \hat{x} + 1 | 1 + \hat{x} ; x^* + 1 | 1 + x^* ; \angle ABC = 30^\circ | 30
\begin{cases} x = 1 \\ y = 2 \end{cases} | x=1, y=2 ; \begin{cases} x &= 1 \\ y &= 2 \end{cases} | (1, 2) ; \left\{\begin{array}{l} x = 1 \\ y = 2 \end{array}\right. | y=2, x=1
""",
        r"""
(x, y) = (1, 2) | (2,1) ; (x, y) = (1, 2) | (y, x) = (1, 2) ; (x, y) = (1, 2) | 1 ; (x, y) = (1, 2, 3) | (1,2) ; (x,y) = (1,2), (3,4) | (1,2) ; f(x) = 1 or f(x) = -1 | 1 ; a_n = 2^n | b_n = 2^n
k = 4 \text{ and } n = 2 | (2, 4) ; k = 4 \text{ and } n = 2 | 2, 4 ; k = 4 \text{ and } n = 2 | k = 2, n = 4 ; k = 4 \text{ and } n = 2 | 4 ; y = 2, x = 1 | (2, 1) ; n = 2, k = 4 | (2, 4)
k = 4 \text{ and } n = 2 | \{2, 4\} ; f(x) = 2x | f(x) = 3x ; f(x) = 2x | g(x) = 2x ; I_{\max} | I_{\min} ; I_{\max} | I ; x^* | x ; x^2*y | x^*y ; \hat{x} | x ; \text{Area} = 25 | \text{Area} = 52
\begin{cases} x = 1 \\ y = 2 \end{cases} | x=2, y=1 ; \begin{cases} x = 1 \\ y = 2 \end{cases} | 1 ; \begin{cases} 1 & x > 0 \\ 0 & x \le 0 \end{cases} | \begin{cases} 0 & x > 0 \\ 1 & x \le 0 \end{cases}
""",
    ),
    "chains": (
        r"""
80 + 150 = 230 miles | 230 ; 80 + 150 = 230 \text{ miles} | 230 ; 80 miles + 150 miles = 230 miles | 230 ; A = \pi r^2 = 9\pi | 9\pi ; x = 2 + 3 = 5 | 5 ; 3! = 6 | 6
f(x) = (x+1)^2 = x^2+2x+1 | x^2+2x+1 ; x+y = 2+3 = 5 | x+y=5 ; \frac{24}{2} = 12 = 12.0 | 12
""",
        r"""
80 + 150 = 240 miles | 240 ; 80 + 150 = 230 miles | 80 ; 80 + 150 = 230 miles | 150 ; x = 41 = 42 | 42 ; f(x) = (x+1)^2 = x^2+2x+2 | x^2+2x+2 ; x+y = 2+3 = 5 | 5 ; x+y = 2+2 = 5 | x+y = 5
42 = x = 42 = x | 42 ; 1 = 2 = 1 | 1 ; A = 8\pi = 9\pi | 9\pi ; 2 + 2 = 4 = 5 | 4
""",
    ),
    "relations": (
        r"""
x \lt 5 | x < 5 ; x \gt 5 | (5,\infty) ; k \geqslant 2 | [2, \infty) ; x \neq 3 | x != 3 ; x ≠ 3 | (-\infty,3)\cup(3,\infty) ; a \neq b | b \ne a ; x \approx 8.24 | 8.24
\approx 8.24 \text{ mph} | 8.24 ; -x > -1 | x < 1 ; 2x + 4 \le 10 | (-\infty, 3] ; 3 - x \ge 0 | x \le 3 ; x/2 < \sqrt{2} | x < 2\sqrt{2} ; -80\leq g(x)\leq 82 | [-80, 82] ; x^2 < 4 | 4 > x^2
""",
        r"""
x \lt 5 | x > 5 ; x \lt 5 | x \le 5 ; x \neq 3 | x = 3 ; x \neq 3 | 3 ; x \neq 3 | x \neq 4 ; a \neq b | a = b ; x \approx 8.24 | 8.25 ; x \approx 42 | 42 ; x!=6 | x = 6 ; x! = 6 | x \neq 6
-x > -1 | x > 1 ; -x > -1 | x \le 1 ; -x > -1 | x > -1 ; 2x + 4 \le 10 | (-\infty, 7] ; x^2 < 4 | x < 2 ; |x| < 1 | x < 1 ; f(2) < f(1) < f(4) | f(4) < f(1) < f(2) ; 0 < x < 1 | 0 < x \le 1
""",
    ),
    "matrices": (
        r"""
\left(\begin{array}{cc}1&2\\3&4\end{array}\right) | \begin{pmatrix}1&2\\3&4\end{pmatrix} ; \left[\begin{array}{c}1\\2\end{array}\right] | \begin{bmatrix}1\\2\end{bmatrix}
\begin{pmatrix}1\\2\end{pmatrix}+\begin{pmatrix}3\\4\end{pmatrix} | \begin{pmatrix}4\\6\end{pmatrix} ; \frac{1}{2}\begin{pmatrix}1&2\\3&4\end{pmatrix} | \begin{pmatrix}1/2&1\\3/2&2\end{pmatrix}
\begin{pmatrix}1&2\\3&4\end{pmatrix}\begin{pmatrix}1\\1\end{pmatrix} | \begin{pmatrix}3\\7\end{pmatrix} ; -\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}-1\\-2\end{pmatrix}
\begin{bmatrix} 1 \\ \frac{1}{2} \end{bmatrix} | \begin{pmatrix} 1 \\ 0.5 \end{pmatrix}
""",
        r"""
\begin{pmatrix}1&2\\3&4\end{pmatrix}\begin{pmatrix}1\\1\end{pmatrix} | \begin{pmatrix}3&7\end{pmatrix} ; \begin{pmatrix}1&2\\3&4\end{pmatrix} + 1 | \begin{pmatrix}2&3\\4&5\end{pmatrix}
\begin{pmatrix}0&1\\0&0\end{pmatrix}\begin{pmatrix}0&0\\1&0\end{pmatrix} | \begin{pmatrix}0&0\\1&0\end{pmatrix}\begin{pmatrix}0&1\\0&0\end{pmatrix} ; \begin{vmatrix}1&2\\3&4\end{vmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}
2\begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}1\\4\end{pmatrix} ; \begin{pmatrix}1\\2\end{pmatrix}-\begin{pmatrix}3\\4\end{pmatrix} | \begin{pmatrix}2\\2\end{pmatrix} ; \begin{pmatrix}1\\2\end{pmatrix}^2 | \begin{pmatrix}1\\4\end{pmatrix}
""",
    ),
    "expressions": (
        r"""
\sin(90^\circ - x) | \cos x ; \sin 30^\circ | \frac12 ; \frac{\sin 2x}{2} | \sin x \cdot \cos x ; x\sqrt{y}\sqrt{2} | \sqrt{2}x\sqrt{y} ; \sqrt{6} | \sqrt{2}\sqrt{3} ; (\sqrt{3}+1)x | x + \sqrt{3}x
\lvert x \rvert | |x| ; (x+1)(x+2)(x+3) | x^3+6x^2+11x+6 ; \{x+1, x-1\} | \{x-1, 1+x\} ; \{(1,2),(3,4)\} | (3,4), (1,2) ; \{1\pm\sqrt{5}, 2\} | 2, 1-\sqrt5, 1+\sqrt5 ; \sin x \cdot \cos x | \cos x \sin x
""",
        r"""
\sin(90 - x) | \cos x ; \sin 30^\circ | \sin 30 ; \sin(90^\circ - x) | \sin x ; \sin 30^\circ | 30 ; 180^\circ | \pi ; \sin x \cdot \cos x | \sin(x \cos x) ; \sqrt{6} | \sqrt{2}+\sqrt{3} ; (x+1)(x+2)(x+3) | x^3+6x^2+11x+7
\{x+1, x-1\} | \{x+1\} ; \{(1,2),(3,4)\} | (2,1), (4,3) ; \{(1,2),(3,4)\} | (1,2,3,4) ; \{1\pm\sqrt{5}, 2\} | 2, 1+\sqrt5
""",
    ),
    "decimals": (
        r"""
0.0833333333333333 | \frac{1}{12} ; 1.4142135624 | \sqrt2 ; 0.3333333333 | 1/3 ; 0.6666666667 | 2/3 ; -0.3333333333 | -\frac13 ; 3.141592654 | \pi ; 33.33333333333 | \frac{100}{3} ; (0.3333333333, 1) | (1/3, 1)
""",
        r"""
0.33 | 1/3 ; 0.333333333 | 1/3 ; 0.3333333334 | 1/3 ; 0.6666666666 | 2/3 ; 0.3333333333 | -1/3 ; 1.4142135625 | \sqrt2 ; 42.00000000001 | 42 ; 0.1234567890 | 0.12345678901 ; 0.3333333333x | x/3 ; 0000000.33 | 1/3
""",
    ),
}


def equal(a: str, b: str) -> bool:
    return (compare(a, b) or shared().judge([(a, b)])[0][0]) == "correct"


@pytest.mark.parametrize("name", FORMS)
def test_equal_pairs_are_equal_in_both_directions(name):
    assert [pair for pair in pairs(FORMS[name][0]) if not (equal(*pair) and equal(*pair[::-1]))] == []


@pytest.mark.parametrize("name", FORMS)
def test_near_misses_differ_in_both_directions(name):
    assert [pair for pair in pairs(FORMS[name][1]) if equal(*pair) or equal(*pair[::-1])] == []
