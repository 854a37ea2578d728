# ruff: noqa: E501 (a table)
r"""Pairs of equal and of different final answers, by the conventions of rewards/README.md."""

SAME = r"""
42 | 42.0 ; \dfrac{1}{29,\!322,\!216} | 1/29322216 ; 99\pi \text{ square inches} | 99\pi ; 42 | 42. ; 42 | +42 ; 042 | 42 ; -0 | 0 ; 1,000 | 1000 ; 1 000 | 1000 ; 1\,000 | 1000 ; 1{,}000 | 1000
1,234,567 | 1234567 ; 1 234 567 | 1,234,567 ; $1,000.50 | 1000.5 ; \$18 | 18 ; $18$ | 18 ; 18. | 18 ; £5 | 5 ; € 5 | 5
28% | 28 ; 28\% | 28 ; 12.5\% | 25/2 ; 50 percent | 50% ; 5 bags | 5 ; 5 dollars | 5 ; 5 cm | 5 ; 5\text{ cm}^2 | 5
5\text{ cm} | 5 ; 12\mbox{ inches} | 12 ; 90^\circ | 90 ; 90^{\circ} | 90 ; 90° | 90 ; 90 degrees | 90 ; 3.5 hours | 7/2
6\mathrm{ m} | 6 ; 1,200 people | 1200 ; 15 square feet | 15 ; 7 \text{ apples} | 7 ; 2.50 | 2.5 ; .5 | 0.5 ; 1e3 | 1000
1.5e3 | 1500 ; 2.5 \times 10^{3} | 2500 ; 3\cdot10^{-2} | 0.03 ; 1/2 | 0.5 ; 2/4 | 1/2 ; -1/2 | -0.5 ; 1 1/2 | 3/2
1 1/2 cups | 1.5 ; 5\frac{1}{2} | 5.5 ; 5\frac12 | 11/2 ; -1\frac{1}{4} | -1.25 ; \frac{1}{2} | 0.5 ; \frac12 | 1/2
\dfrac{3}{4} | \frac{3}{4} ; \tfrac{3}{4} | 0.75 ; \frac{-1}{2} | -\frac{1}{2} ; \frac{1}{-2} | -0.5 ; \frac1{72} | 1/72
\frac{10}{4} | 2\frac{1}{2} ; \sqrt{8} | 2\sqrt{2} ; \sqrt8 | 2\sqrt2 ; \sqrt{9} | 3 ; \sqrt[3]{27} | 3 ; \sqrt{\frac{1}{4}} | 0.5
\frac{1}{\sqrt{2}} | \frac{\sqrt{2}}{2} ; \sqrt{3}/2 | \frac{\sqrt{3}}{2} ; 2\pi | 2 \pi ; \frac{\pi}{2} | \pi/2 ; 2π | 2\pi
\pi r^2 | r^2\pi ; e^{2} | e^2 ; 2^{10} | 1024 ; 2^3 | 8 ; 3! | 6 ; \binom{5}{2} | 10 ; \log_2 8 | 3 ; \ln e | 1
\sin 30x | \sin(30x) ; |-5| | 5 ; x^2+2x | x(x+2) ; x^2+2x | 2x+x^2 ; (x+1)^2 | x^2+2x+1 ; 3(x+1)(x-1) | 3x^2-3
2xy | 2yx ; \frac{x}{2} | 0.5x ; x/2 | \frac{1}{2}x ; x^{-1} | 1/x ; x^{1/2} | \sqrt{x} ; 6+3i | 3i+6 ; (2+i)(2-i) | 5
a_1+a_2 | a_2+a_1 ; 2n+1 | 1+2n ; -(x-3) | 3-x ; \frac{x+1}{2} | (x+1)/2 ; 40+2 | 42 ; 6*7 | 42 ; 84/2 | 42 ; 40+2=42 | 42
x = 5 | 5 ; x=5 | x = 5 ; 5 | y = 5 ; y=2x+3 | 2x+3 ; f(x)=x^2 | x^2 ; x_1 = 3 | 3 ; x+y=5 | y = 5-x ; 2x+2y=10 | x+y=5
y-2x-3=0 | y = 2x+3 ; x^2+y^2=4 | 4=x^2+y^2 ; x = 2+3 = 5 | 5 ; (1,2) | (1, 2) ; (1,2) | \left(1,2\right) ; (0.5,3) | \left(\frac{1}{2}, 3\right)
( 1 , -2 , 3 ) | (1,-2,3) ; [0,1] | [0, 1] ; (0,1] | \left(0,1\right] ; (-\infty,0) | (-\infty, 0) ; (-inf,0) | (-\infty,0)
(-∞,2) | (-\infty,2) ; x>5 | (5,\infty) ; 5<x | x > 5 ; x \ge 5 | [5,\infty) ; x≥5 | x\geq 5 ; 0 \le x < 3 | [0,3) ; 3 > x \geq 0 | [0,3)
x \in [0,1] | [0,1] ; (-\infty,0)\cup(1,2] | (1,2] \cup (-\infty, 0) ; (1,2)∪(3,4) | (1,2)\cup(3,4) ; \{1,2\} | \{2,1\}
\{1,2\} | 1,2 ; 1,2,3 | 3, 2, 1 ; 1; 2 | 2; 1 ; 1 and 2 | 1, 2 ; 1 or 2 | 2,1 ; 2, 3 and 4 | 4,2,3 ; x=1, y=2 | y=2, x=1
x = 1 or x = 2 | 1, 2 ; x=1,2 | 1,2 ; x=\pm 2 | 2,-2 ; \pm 2 | -2, 2 ; 1\pm\sqrt{2} | 1-\sqrt2, 1+\sqrt2 ; (1,2), (3,4) | (3,4),(1,2)
\begin{pmatrix}1\\2\end{pmatrix} | \begin{bmatrix} 1 \\ 2 \end{bmatrix} ; \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | \begin{pmatrix}1&2\\3&4\end{pmatrix}
\begin{pmatrix} 1/2 & 0 \end{pmatrix} | \begin{pmatrix} 0.5 & 0 \end{pmatrix} ; \text{Evelyn} | evelyn ; \text{(C)} | C ; (C) | C ; \textbf{(B)} | (B)
\text{Tuesday} | Tuesday ; \text{even} | even ; yes | Yes ; 6:30 \text{ p.m.} | 6:30 p.m. ; 3:2 | 3 : 2 ; 42_8 | 42_8 ; 2516_8 | 2516_{8} ; **42** | 42
\boxed{5} | 5 ; \boxed{\frac{1}{2}} | 0.5 ; \mathbf{7} | 7 ; \left( 3 \right) | 3 ; {5} | 5 ; ((5)) | 5 ; --5 | 5 ; \infty | infinity ; x^{2} | x²
\displaystyle\frac{1}{2} | 1/2 ; 2\cdot 3 | 6 ; 2 × 3 | 6 ; 6 ÷ 4 | 1.5 ; −3 | -3 ; ½ | 0.5 ; 1½ | 1.5 ; 100! / 99! | 100 ; \$1.50 each | 1.5
10,000 \text{ dollars} | 10000 ; 1.0 | 1 ; 0.1250 | 1/8 ; 7 - 4i | -4i+7 ; \sec^2 x | 1+\tan^2 x ; \sin^2 x+\cos^2 x | 1 ; 8^{-\frac13} | 1/2
4x^2-9 | (2x-3)(2x+3) ; \frac{1}{x+1}+\frac{1}{x-1} | \frac{2x}{x^2-1} ; \log 100 | 2 ; \log_{10} 100 | 2 ; e^{\ln 3} | 3 ; \cos 2x | 2\cos^2 x - 1
北京 | 北京 ; Москва | москва ; λ | λ ; ∅ | \emptyset ; ñ | Ñ ; naïve | Naïve ; 10 000 м | 10 000 м
3×10⁵ | 300000 ; 2⁵ | 32 ; x⁴ | x^4 ; 42₈ | 42_8 ; 10⁻³ | 0.001 ; ⅓ | 1/3 ; 2⅓ | 7/3 ; √12 | \sqrt{12} ; 2√10 | 2\sqrt{10} ; sqrt 12 | \sqrt{12}
10**5 | 100000 ; 2 ** 3 | 8 ; *5* | 5 ; `5` | 5 ; 5 pm | 5 PM ; 5 p.m. | 5 pm ; 3\ 1/2 | 3.5 ; 5\ 000 | 5000 ; 42... | 42 ; \boldsymbol{18} | 18
‑5 | -5 ; \{1,2,\ldots\} | \{1, 2, ...\} ; p∧q | p ∧ q ; |x-5| | |5-x| ; x₁ | x_1
x = -2 \quad x = 1 | -2, 1 ; C = 2r = 10 | 10 ; \lfloor \frac{n}{2} \rfloor | \left\lfloor\frac{n}{2}\right\rfloor ; 5 times | 5 ; 3 months | 3 ; 5 left over | 5
\sin(x)^2 | \sin^2 x ; \sin(2x) | \sin 2x ; (2)\frac{1}{3} | \frac{2}{3} ; $500 + $500 = $1,000 | 1000 ; x = 1,000 | 1000 ; \text{Total} = \$1,000 | 1000
1{,}000, 2{,}000 | 1000, 2000 ; 24{,}000\pi | 24000\pi ; n \ge 1{,}000 | n \ge 1000 ; \mathbf{\frac{3}{4}} | \frac{3}{4} ; \boldsymbol{2\sqrt{3}} | 2\sqrt{3}
\text{$\frac{1}{2}$} | 1/2 ; \underline{\frac{1}{2}} | 1/2 ; \mathbf{x = \frac{1}{2}} | 1/2 ; f(-3) = 9 | 9 ; f(2.5) = 9 | 9 ; f(\frac{1}{2}) = 9 | 9 ; f(f(2)) = 9 | 9
f^{-1}(x) = \frac{x-1}{2} | \frac{x-1}{2} ; v_{\text{avg}} = 9 | 9 ; a_{n+1} = 9 | 9 ; P(\text{red}) = \frac13 | \frac13 ; \overline{AB} = 5 | 5
2\sqrt{2} \approx 2.83 | 2\sqrt{2} ; x = 2\sqrt2 \approx 2.83 | 2\sqrt{2} ; \frac{1}{3} \approx 0.333 | \frac{1}{3}
6 x 7 = 42 | 42 ; 5 x $3 = $15 | 15 ; 3 x 10^5 | 300000 ; 2⋅3^2 | 18 ; x ∈ [0, 1] | [0,1] ; 2x(x+1) | 2 x (x+1) ; (2516)_8 | 2516_8 ; 2516_{(8)} | 2516_8 ; x = 2516_8 | 2516_8
\begin{pmatrix} -18 \\[4pt] 96 \end{pmatrix} | \begin{pmatrix} -18 \\ 96 \end{pmatrix} ; (a,b) \in \{(1,1),(3,2)\} | $(1,1), (3,2)$ ; \theta \in [0,\pi] | [0,\pi] ; x_0 \in \{1,2\} | 1,2
(-\infty, 2) U (3, \infty) | (-\infty, 2) \cup (3, \infty) ; (x,y) = (1,200) | (1,200) ; \mathbb{R} | \mathbb R ; n \equiv 1 \pmod{4} | n \equiv 1 \pmod 4 ; x^{2}\mid n | x^2 \mid n
a_{n+1} = 2a_n | 2a_n = a_{n+1} ; a_{n+1} = a_n + 3 | a_{n+1} - a_n = 3 ; \text{Sum of the two numbers} = 30 | 30 ; 5 \text{ two-digit numbers} | 5 ; 42 cards in one deck | 42 ; 5 dollars for two people | 5 ; 6 \text{ half-dollars} | 6
2x_1 | 2 x_1 ; 2a_1, 3a_2 | 2 a_1, 3 a_2 ; \cos(30)^\circ | \frac{\sqrt{3}}{2} ; 4\sin(15)^\circ | 4\sin 15^\circ ; {2}\frac{1}{3} | \frac{7}{3} ; 2\;x = 8 | 2x = 8
S = \sum_{k=1}^{n} k^2 | S = \sum_{k=1}^n k^2
18/day | 18 ; \$18/\text{hour} | 18 ; $1234/month | 1234 ; 18 /hr | 18 ; 5\text{ sec} | 5 ; 5 sec | 5 ; 42 ft/sec | 42 ; 42\text{ ft}/\text{sec} | 42 ; \textbf{(C)}\ 5 | \text{(C)} ; (C) 5 | (C)
108_{10} | 108 ; 24 | 24_{10} ; 70, 110 | 70,110 ; x\in(-\infty,-2)\text{ or }x\in(3,\infty) | (-\infty,-2)\cup(3,\infty) ; (-\infty,-2) or (3,\infty) | (-\infty,-2)\cup(3,\infty) ; x\in(1,2) or x\in(3,4) | (1,2)\cup(3,4)
\frac72\text{ or }3.5 | 3.5 ; 7 or 7.0 | 7
"""

DIFFERENT = r"""
42 | 41 ; 42 | -42 ; 42 | 4.2 ; 42 | 420 ; 0.33 | 1/3 ; 0.3333333 | 1/3 ; 3.14 | \pi ; 1.41421356 | \sqrt{2} ; 42 | 42.0001
42 | 24 ; 12 | 1,2 ; 42 | 4 2 ; 1 2 | 12 ; 41 | 41 42 ; 1000 | 1,00 ; 1,000 | 1 ; 1,000,00 | 100000 ; 28% | 0.28 ; 0.5% | 0.005
x/100 | x ; 100x | x ; 42/100 | 42 ; 4200 | 42 ; 1/2 | 2 ; 1/2 | 12 ; 1/2 | 1 ; \frac{1}{2} | \frac{2}{1} ; 1 1/2 | 1/2
1 1/2 | 11/2 ; 5\frac{1}{2} | 5/2 ; 2\frac{1}{3} | 2/3 ; 41=42 | 42 ; 42=41 | 42 ; x=41=42 | 42 ; 40+2=41 | 41 ; 42_8 | 42 ; 42_8 | 34
42_8 | 42_9 ; x=5 | y=5 ; x=5 | x=6 ; y=2x+3 | x=2y+3 ; y=2x+3 | y=2x-3 ; x+y=5 | x+y=6 ; x+y=5 | x-y=5 ; x+y=5 | 5 ; x^2+y^2=4 | x^2+y^2=2
x^2=4 | x=2 ; x | X ; x | y ; 2x | 2y ; x^2 | 2x ; x+1 | x-1 ; (x+1)^2 | x^2+1 ; \sqrt{x^2} | x ; |x| | x ; x^2 | x ; \sqrt{x+1} | \sqrt{x}+1
\frac{x}{x} | 0 ; a+b | ab ; 2^n | n^2 ; 2n | 2n+1 ; \sin x | \cos x ; \sin 2x | 2\sin x ; \ln x | \log x ; e^x | x^e ; i | -i ; 3+4i | 4+3i ; n! | n
\pi | 3 ; 2\pi | \pi ; \sqrt{2} | 2 ; \sqrt{2} | \sqrt{3} ; \sqrt[3]{2} | \sqrt{2} ; 2\sqrt{3} | 3\sqrt{2} ; 2^{10} | 20 ; 10^3 | 30 ; \infty | 0
\infty | -\infty ; (1,2) | (2,1) ; (1,2) | [1,2] ; (1,2) | 1,2 ; (1,2) | \{1,2\} ; (1,2) | (1,2,3) ; (1,2) | (1,2] ; [1,2) | (1,2] ; (-inf,0) | (-inf,0]
(-\infty,0) | (0,\infty) ; (1,2) | 12 ; (1,2) | 3 ; \{1,2\} | \{1\} ; \{1,2\} | \{1,2,3\} ; \{1,1\} | \{1\} ; 1,2 | 1,2,3 ; 1,2 | 1 ; 1,1 | 1
1,2 | 1,3 ; 1 or 2 | 1 ; 42 or 43 | 42 ; 42, 43 | 42 ; 42 and 43 | 42 ; 42; 43 | 43 ; \pm 2 | 2 ; \pm 2 | -2 ; x=\pm 2 | x=2 ; 2,-2 | 2
x>5 | x<5 ; x>5 | x \ge 5 ; x>5 | x=5 ; x>5 | 5 ; x>5 | x>6 ; 0<x<3 | (0,3] ; 0<x<3 | [0,3] ; 0<x<3 | (0,4) ; x<3 | (3,\infty) ; [0,1] | [0,1)
(0,1)\cup(2,3) | (0,1) ; (0,1)\cup(2,3) | (0,3) ; (0,1)\cup(2,3) | (0,1)\cup(2,3] ; (0,1)\cup(2,3) | (0,1),(2,3) ; (1,2),(3,4) | (1,2)
(1,2),(3,4) | (1,3),(2,4) ; \begin{pmatrix}1\\2\end{pmatrix} | \begin{pmatrix}2\\1\end{pmatrix} ; \begin{pmatrix}1\\2\end{pmatrix} | (1,2)
\begin{pmatrix}1&2\end{pmatrix} | \begin{pmatrix}1\\2\end{pmatrix} ; \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix} | \begin{pmatrix} 1 & 3 \\ 2 & 4 \end{pmatrix}
\text{Evelyn} | Everly ; \text{(C)} | D ; A | B ; (A) | (B) ; yes | no ; even | odd ; Tuesday | Thursday ; 3:2 | 2:3 ; 3:2 | 3/2 ; 6:30 | 6:03
not 42 | 42 ; 42, not 43 | 42 ; 42 not | 42 ; 42 million | 42 ; 42 thousand | 42 ; anything | 42 ; none | 0 ; any number | 42 ; it is 42 | 43
\frac{1}{0} | 1 ; \frac{0}{0} | 0 ; 0/0 | 1 ; NaN | 0 ; null | 0 ; None | 0 ; True | 1 ; 42 41 | 42 ; 41 42 | 42 ; ?42 | 41 ; 4?2 | 42 ; 4_2 | 42 ; ٤٢ | 43
5 bags 3 | 5 ; 5 bags | 6 ; 5 bags and 3 boxes | 5 ; 5\text{ or }6 | 5 ; 5 | 5i ; 5x | 5 ; 5! | 5 ; 5^2 | 5 ; -5 | 5 ; |5| | -5 ; 5-5 | 5 ; 5^0 | 5
9**9**9**9 | 1 ; 9^{9^{9^9}} | 9 ; (10^8)! | 1 ; 1e400 | 1 ; 1e-400 | 0 ; 0.1+0.2 | 0.30000000000000004 ; 10^{100} | 10^{101} ; 2^{1000} | 2^{1001}
__import__('os').getcwd() | 0 ; print(42) | 42 ; int("42") | 42 ; lambda: 42 | 42 ; [42][0] | 42 ; {42} or 1 | 1 ; 42 if 1 else 0 | 42 ; x==x | 42
x+1=x+1 | 42 ; 42=x=42=x | 41 ; 0 | \emptyset ; 3 | \sqrt{3} ; 180^\circ | \pi ; 6 | 3! + 1 ; 1 | 0.999999 ; 0.5 | .05 ; 1.50 | 1.05 ; 2,5 | 2.5
\sin^{-1} x | \frac{1}{\sin x} ; x^{2y} | x^{2}y ; 1/2x | 2x ; ab | ba c ; \frac{1}{2}x | \frac{1}{2x} ; -x^2 | (-x)^2 ; 2^{-x} | -2^x
北京 | 上海 ; Москва 5 | Киев 5 ; λ | μ ; ∅ | 0 ; ñ | n ; naïve | naive ; é | e
|x-5| | 5-x ; \sqrt{(x-4)^2} | 4-x ; \ln|x-3|+C | \ln(3-x)+C ; |x-3|=2 | x=1 ; |x-5|<2 | (3,\infty) ; 3×10⁵ | 315 ; 2⁵ | 25 ; x⁴ | 4x
42₈ | 428 ; x₁ | x ; 10²³ | 1000000 ; √12 | 2 ; 2√10 | 0 ; \{1,2,\ldots\} | \{1,2\} ; 1, 3, 5, ... | 1, 3, 5 ; 1+2+\ldots+10 | 13 ; 0.333\ldots | 0.333
p∧q | p∨q ; x∈A | x∉A ; ¬p | p ; 5″ | 5′ ; 10**5 | 105 ; 2**3 | 23 ; 3 fourths | 3 ; 5 lakh | 5 ; 0.3 repeating | 0.3 ; 5 degrees below zero | 5
\frac{1}{0} \approx 0.50 | 5 ; 3 in five | 3 ; a_{n+1} = 10 | a_n + 1 = 10 ; \not \in [0,1] | [0,1] ; R^{-1} = 5 | 5
x = 41 \quad y = 42 | 42 ; x = 41 \\ y = 42 | 42 ; x = 3 \quad x = 5 | 5 ; x = -2 \quad x = 1 | 1 ; x = 1{,}000 | 1, 0 ; x^{-1} = 5 | 5
\lfloor\sqrt{n}-1\rfloor | $\lfloor\sqrt{n-1}\rfloor$ ; 2^{\lfloor n/2 \rfloor} + 1 | 2^{\lfloor n/2 \rfloor + 1} ; \sum_{k=1}^{n} k | \sum_{k=1}^{n} k!
x = 5 = \lceil n/2\rceil+1 | $\lceil n / 2\rceil+1$ ; \gcd(m,k) | \gcd(m,n) ; 5 times seven | 5 ; 5 doubled | 5 ; 3 millionths | 3 ; 3 twentieths | 3 ; 42 maybe forty | 42
42 \text{ to forty-five} | 42 ; 42 \text{ else forty-one} | 42 ; |M| | M ; \sqrt{M^2} | M ; |\mu| | \mu ; \sin(x)^2 | \sin(x^2) ; (2)\frac{1}{3} | \frac{7}{3}
2\sqrt{2} \approx 2.93 | 2\sqrt{2} ; 2\sqrt{2} \approx 2.83 | 2.83 ; (1,2) U (3,4) | (1,2) \cup (3,5) ; (2516)_8 | 2516 ; \begin{pmatrix} 1 \\[4pt] 2 \end{pmatrix} | \begin{pmatrix} 1 \\ 4 \end{pmatrix}
2021-05-01 | 2021-01-05 ; 2/4/2020 | 1/2/2020 ; 5 pm | 5mp ; 3\ 1/2 | 31/2 ; 3~1/2 | 31/2
12\text{ pi} | 12 ; 5/x | 5 ; 5/s | 5 ; 5\sec x | 5 ; (C) 5 | 5 ; (C) 5 | (D) ; 108_{10} | 108_8 ; (1,2) or (3,4) | (1,2)\cup(3,4) ; 7 or 8 | 7 ; \frac72\text{ or }3.6 | 3.5 ; 2, 2 | 2 ; 110, 70 | 70110 ; 4$2 | 42 ; 4\%2 | 42 ; $4$$2$ | 42
"""


def pairs(table: str) -> list[tuple[str, str]]:
    """The pairs of a table: separated by ` ; ` or a newline, the two answers by ` | `."""
    cells = [cell for line in table.splitlines() if line for cell in line.split(" ; ")]
    return [tuple(cell.strip().split(" | ", 1)) for cell in cells]
