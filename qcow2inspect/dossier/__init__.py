"""Everything that may be said about an image, as data; screens, reports and the command line only arrange it.

::

    gist.py       Dossier: verdict, sentences, flags, findings; what a screen shows at once
    section.py    Report, Section, Field, Table: what a report says, in order, without any form
    values.py     what stands in a cell, and the words for nothing
    report.py     compile_report: an open chain and its dossier -> a report
    ...           one module for each group of sections
"""

from __future__ import annotations

from qcow2inspect.dossier.gist import Dossier, State, compile_dossier

__all__ = ["Dossier", "State", "compile_dossier"]
