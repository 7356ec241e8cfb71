"""The first look at an image: its header, its tables, the name of every byte."""

from __future__ import annotations

import time
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

from qcow2inspect.tui.knowledge import Explained, Knowledge, KnowledgeGrew
from qcow2inspect.tui.tasks.running import guarded
from qcow2inspect.units import HostOffset

if TYPE_CHECKING:
    from collections.abc import Callable

    from textual.message import Message

    from qcow2inspect.image.chain import Chain
    from qcow2inspect.image.image import Image
    from qcow2inspect.image.tree import Tree
    from qcow2inspect.survey.survey import Survey
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.tasks.running import TaskProgress

__all__ = ["explain", "index", "judge_again", "look_at_header", "survey"]


def index(tree: Tree, post: Callable[[Message], object]) -> None:
    """Prepare what names any byte of the file, so that the first look at a table does not wait for it."""

    def work() -> Message:
        _ = tree.top
        tree.locate(HostOffset(tree.image.geometry.cluster_size))
        return KnowledgeGrew(None)

    guarded("index", post, work)


def look_at_header(image: Image, post: Callable[[Message], object]) -> None:
    """Say what the header alone tells."""

    def work() -> Message:
        from qcow2inspect.dossier import compile_dossier
        from qcow2inspect.rules import examine_header

        findings = examine_header(image)
        return KnowledgeGrew(Knowledge(compile_dossier(image, None, findings), findings))

    guarded("header", post, work)


def survey(image: Image, chain: Chain | None, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Look at the whole image and say what is found, in it and in the files behind it that were opened."""

    def work() -> Message:
        from qcow2inspect.survey.survey import take_survey

        started = time.monotonic()
        taken = take_survey(image, progress, chain)
        return KnowledgeGrew(replace(_judged(taken), seconds=time.monotonic() - started))

    guarded("survey", post, work)


def judge_again(knowledge: Knowledge, chain: Chain, post: Callable[[Message], object]) -> None:
    """Say what is found now that other files are behind the image than when its tables were read."""

    def work() -> Message:
        taken = copy(knowledge.survey)
        assert taken is not None
        taken.chain = chain
        return KnowledgeGrew(replace(_judged(taken), seconds=knowledge.seconds))

    guarded("survey", post, work)


def _judged(taken: Survey) -> Knowledge:
    from qcow2inspect.dossier import compile_dossier
    from qcow2inspect.rules import examine

    findings = examine(taken)
    return Knowledge(compile_dossier(taken.image, taken, findings), findings, surveyed=True, survey=taken)


def explain(session: Session, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Find out how much of the file has a known purpose."""
    owners = session.owners
    if owners is not None:
        guarded("explain", post, lambda: Explained(owners.unexplained(progress=progress)))
