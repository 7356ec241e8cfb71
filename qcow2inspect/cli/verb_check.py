"""Check an image: what is wrong, where, what it means, and what qemu-img check would say.

The exit code is that of qemu-img check: 0 clean, 1 the check could not be finished, 2 damage, 3 leaks only, 63 the
file is of a format that has no check. With --strict it follows what is found here: 2 damage, 3 warnings.
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from qcow2inspect.cli.common import add_image, add_json, dump_json, progress_bar, say, warn
from qcow2inspect.cli.opening import add_following, opened
from qcow2inspect.errors import BadAddress, NotQcow2, Qcow2InspectError, Unsupported

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from qcow2inspect.findings import Finding
    from qcow2inspect.image.chain import Chain
    from qcow2inspect.survey.survey import Survey

__all__ = ["add_arguments", "run"]

_FAILED = 1
_UNKNOWN_FORMAT = 63


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the verb takes."""
    add_image(parser)
    add_json(parser, compat=True)
    parser.add_argument("--jsonl", action="store_true", help="print one JSON document for each finding")
    parser.add_argument("--strict", action="store_true", help="the exit code follows the findings, not qemu-img check")
    parser.add_argument(
        "--deep", action="store_true", help="also inflate every compressed cluster, and look for data that nobody sees"
    )
    parser.add_argument("--only", metavar="CODE,...", help="these checks only, for example QCOW-REF-ZERO,QCOW-L2")
    add_following(parser)


def run(options: argparse.Namespace) -> int:
    """Check."""
    try:
        with opened(options) as chain:
            return _check(chain, options)
    except NotQcow2 as error:
        _tell_code(error, options)
        is_short = options.image and _has_magic(error)
        error.exit_code = _FAILED if is_short else _UNKNOWN_FORMAT
        raise
    except Unsupported as error:
        _tell_code(error, options)
        error.exit_code = _UNKNOWN_FORMAT if "version 1" in error.what else _FAILED
        raise
    except Qcow2InspectError as error:
        _tell_code(error, options)
        error.exit_code = _FAILED
        raise


def _tell_code(error: Qcow2InspectError, options: argparse.Namespace) -> None:
    """A file that cannot be opened as an image has one finding: why."""
    if not error.code:
        return
    if options.json or options.jsonl:
        from qcow2inspect.reports.check import finding_document
        from qcow2inspect.rules import finding_of

        found = finding_document(finding_of(error))
        document = {"schema": "qcow2inspect/check", "schema_version": "1.0", "image": options.image}
        document |= {"verdict": "CANNOT BE READ", "complete": False, "findings": [found]}
        dump_json(document) if options.json else say(json.dumps(found))
    error.hint = "; ".join(filter(None, (error.hint, f"“qcow2inspect explain {error.code}” says more")))


def _has_magic(error: NotQcow2) -> bool:
    """True if the header is cut off rather than missing: QEMU takes the file for qcow2 and fails."""
    return "cut off" in error.what


def _check(chain: Chain, options: argparse.Namespace) -> int:
    from qcow2inspect.survey.survey import take_survey

    with progress_bar() as progress:
        survey = take_survey(chain.qcow2, progress, chain)
        if options.deep and not options.json_compat:
            from qcow2inspect.survey.deep import look_deep

            survey.deep = look_deep(survey, progress)
    if options.json_compat:
        return _print_compatible(survey)
    from qcow2inspect.reports.check import strict_exit_code

    findings, passed = _findings(survey, options.only)
    if options.json:
        dump_json(_document(survey, findings))
    elif options.jsonl:
        if not survey.complete:
            warn("the result is partial: “check --json” says what was left out")
        _print_lines(findings)
    else:
        _print_text(survey, findings, passed)
    return strict_exit_code(survey, findings) if options.strict else survey.qemu.exit_code


def _findings(survey: Survey, only: str | None) -> tuple[list[Finding], int]:
    """The findings of all rules, or of those whose code starts with one of the words; and how many found nothing.

    Raises:
        BadAddress: there is no such rule.
    """
    from qcow2inspect.rules import all_rules, can_judge, examine, has_judged

    able = {rule.code for rule in all_rules() if can_judge(rule, survey)}
    silent = {rule.code for rule in all_rules() if has_judged(rule, survey)}
    if only is None:
        findings = examine(survey)
        return findings, len(silent - {finding.code for finding in findings})
    words = [word.strip().upper() for word in only.split(",") if word.strip()]
    for word in words:
        if not any(rule.code.startswith(word) for rule in all_rules()):
            raise BadAddress(f"no check has a code that starts with “{word}”; codes look like QCOW-REF-ZERO")
    if not any(code.startswith(tuple(words)) for code in able):
        raise BadAddress(f"{only} looks at content, which is checked with --deep only")
    findings = [finding for finding in examine(survey) if finding.code.startswith(tuple(words))]
    others = silent - {finding.code for finding in findings}
    return findings, sum(code.startswith(tuple(words)) for code in others)


def _print_compatible(survey: Survey) -> int:
    from qcow2inspect.reports.qemu_check import check_json

    if survey.qemu.failed:
        raise Qcow2InspectError(f"{survey.image.name}: {survey.qemu.failed}", exit_code=_FAILED)
    sys.stdout.write(check_json(survey.image.name, survey.qemu))
    return survey.qemu.exit_code


def _print_text(survey: Survey, findings: Sequence[Finding], passed: int) -> None:
    from qcow2inspect.dossier.gist import not_checked
    from qcow2inspect.reports.check import render_check

    for line in render_check(survey, findings, not_checked=not_checked(survey.image, survey), passed=passed):
        say(line)


def _print_lines(findings: Sequence[Finding]) -> None:
    from qcow2inspect.reports.check import finding_document

    for finding in findings:
        say(json.dumps(finding_document(finding)))


def _document(survey: Survey, findings: Sequence[Finding]) -> dict[str, Any]:
    from qcow2inspect.dossier.gist import not_checked
    from qcow2inspect.reports.check import finding_document, residue_document, verdict_of
    from qcow2inspect.reports.qemu_check import check_document
    from qcow2inspect.rules.outlook import repair_outlook
    from qcow2inspect.rules.tables import differences

    qemu = survey.qemu
    return {
        "schema": "qcow2inspect/check",
        "schema_version": "1.0",
        "image": survey.image.name,
        "verdict": verdict_of(survey, findings),
        "complete": survey.complete,
        "findings": [finding_document(finding) for finding in findings],
        "repair": list(repair_outlook(survey)),
        "qemu_img_check": {
            "exit_code": qemu.exit_code,
            "failed": qemu.failed or None,
            "counters": check_document(survey.image.name, qemu),
            "corruptions_by_kind": dict(qemu.corruptions),
            "differences": list(differences(survey)),
        },
        "not_checked": list(not_checked(survey.image, survey)),
        "residues": [residue_document(residue) for residue in survey.deep.residues] if survey.deep else None,
    }
