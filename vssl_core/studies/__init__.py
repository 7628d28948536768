"""Studies: named grids of cells and evaluations, each answering one question of the paper or of a user."""

from __future__ import annotations

from vssl_core.studies.files import load_study, study_names
from vssl_core.studies.plan import Scaling, StudyPlan, plan_study
from vssl_core.studies.run import StudyResult, run_study
from vssl_core.studies.schema import Study
from vssl_core.studies.table import StudyTable, build_study_table

__all__ = [
    "Scaling",
    "Study",
    "StudyPlan",
    "StudyResult",
    "StudyTable",
    "build_study_table",
    "load_study",
    "plan_study",
    "run_study",
    "study_names",
]
