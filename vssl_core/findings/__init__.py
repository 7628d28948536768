"""Findings: sentences that follow from values per seed, with what these seeds could have shown.

Pure functions of plain values: seed → value for each method, target or point of an axis. Every finding
has a verdict, an estimate with its interval, and the smallest gap that such seeds find four times in
five. Under three shared seeds nothing is claimed. Intervals speak of other seeds on these very methods and
test sets, not of other methods or other videos.

A verdict is wrong one time in twenty at most where there is nothing to find, each by itself; claims that
are read together go through `corrected`.
"""

from __future__ import annotations

from vssl_core.findings.across import Overall, improvement, iqm_contrast, overall
from vssl_core.findings.agreement import Accord, RankAgreement, SignAgreement, rank_agreement, sign_agreement
from vssl_core.findings.critical import CriticalDifference, critical_difference
from vssl_core.findings.finding import BySeed, Finding, Verdict, corrected, judged
from vssl_core.findings.ranking import Ranking, ranking
from vssl_core.findings.trend import Trend, contrast, trend

__all__ = [
    "Accord",
    "BySeed",
    "CriticalDifference",
    "Finding",
    "Overall",
    "RankAgreement",
    "Ranking",
    "SignAgreement",
    "Trend",
    "Verdict",
    "contrast",
    "corrected",
    "critical_difference",
    "improvement",
    "iqm_contrast",
    "judged",
    "overall",
    "rank_agreement",
    "ranking",
    "sign_agreement",
    "trend",
]
