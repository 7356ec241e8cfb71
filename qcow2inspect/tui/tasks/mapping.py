"""Makes maps and strips of the whole file or disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.message import Message

from qcow2inspect.tui.tasks.running import guarded

if TYPE_CHECKING:
    from collections.abc import Callable

    from qcow2inspect.image.view import View
    from qcow2inspect.tui.clustermap import ClusterMap
    from qcow2inspect.tui.entropy import EntropyMap, Spot
    from qcow2inspect.tui.hostmap import Colouring
    from qcow2inspect.tui.session import Session
    from qcow2inspect.tui.strip import Strip
    from qcow2inspect.tui.tasks.running import TaskProgress
    from qcow2inspect.units import HostOffset

__all__ = ["MapMade", "Sampled", "StripMade", "guest_map", "guest_strip", "host_map", "host_strip", "sample_entropy"]


class MapMade(Message):
    """A map is there.

    Attributes:
        map: the map.
        by: the progress of the task that made it.
        at: where the cursor belongs; None if the task was not asked, or cannot tell.
    """

    def __init__(self, made: ClusterMap, by: TaskProgress, at: int | None = None) -> None:
        super().__init__()
        self.map = made
        self.by = by
        self.at = at


class Sampled(Message):
    """All cells of a map that are in sight were looked at.

    Attributes:
        by: the progress of the task that did it.
    """

    def __init__(self, by: TaskProgress) -> None:
        super().__init__()
        self.by = by


class StripMade(Message):
    """The whole file or disk in one column is there.

    Attributes:
        strip: what to show; None if there is nothing.
        by: the progress of the task that made it.
    """

    def __init__(self, strip: Strip | None, by: TaskProgress) -> None:
        super().__init__()
        self.strip = strip
        self.by = by


def host_map(session: Session, colouring: Colouring, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Make the map of the host clusters."""

    def work() -> Message:
        from qcow2inspect.tui.entropy import make_entropy_map
        from qcow2inspect.tui.hostmap import Colouring

        image = session.image
        if colouring is not Colouring.ENTROPY:
            return MapMade(session.host_map(progress, colouring), progress)
        session.forget_map()
        return MapMade(make_entropy_map(image.end, image.geometry.cluster_size, is_guest=False), progress)

    guarded("map", post, work)


def guest_map(
    session: Session,
    wanted: tuple[Colouring, HostOffset | None],
    progress: TaskProgress,
    post: Callable[[Message], object],
) -> None:
    """Make the map of the guest clusters of the state that is looked at, and find there what lies on the host.

    Args:
        session: the image.
        wanted: what the map shall tell, and the host offset.
        progress: may ask to stop.
        post: takes the result.
    """
    colouring, host = wanted

    def work() -> Message:
        from qcow2inspect.tui.guestmap import find_guest

        session.forget_map()
        view = session.view()
        made = _guest_map(session, view, colouring, progress)
        size = session.image.geometry.cluster_size
        return MapMade(made, progress, None if host is None else find_guest(view, size, host, progress))

    guarded("map", post, work)


def _guest_map(session: Session, view: View, colouring: Colouring, progress: TaskProgress) -> ClusterMap:
    from qcow2inspect.tui.entropy import make_entropy_map
    from qcow2inspect.tui.guestmap import make_guest_map
    from qcow2inspect.tui.hostmap import Colouring

    size = session.image.geometry.cluster_size
    if colouring is Colouring.ENTROPY:
        return make_entropy_map(view.size, size, is_guest=True)
    if colouring is Colouring.TYPE:
        return make_guest_map(view, size, progress)
    counted = session.host_map(progress, colouring, keep=False)
    elsewhere = session.image.has_data_file or (session.state.kind == "layer" and session.state.index > 0)
    return make_guest_map(view, size, progress, counted=counted, elsewhere=elsewhere)


def sample_entropy(
    session: Session, made: EntropyMap, spot: Spot, progress: TaskProgress, post: Callable[[Message], object]
) -> None:
    """Look at stored bytes of the cells in sight."""

    def work() -> Message:
        from qcow2inspect.tui.entropy import sample, stored_for_guest, stored_on_host

        if made.is_guest:
            stored = stored_for_guest(session, session.view(), made)
        else:
            stored = stored_on_host(session, made)
        sample(made, spot, stored, progress)
        return Sampled(progress)

    guarded("entropy", post, work)


def host_strip(session: Session, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """Sum up the map of the image file for the strip; the map itself is not kept."""

    def work() -> Message:
        from qcow2inspect.tui.clustermap import named_units
        from qcow2inspect.tui.hostmap import make_host_map
        from qcow2inspect.tui.strip import strip_of

        survey = session.knowledge.survey
        if survey is None:
            return StripMade(None, progress)
        made = make_host_map(survey, progress)
        return StripMade(strip_of(made, named_units(made, session.knowledge.findings)), progress)

    guarded("strip", post, work)


def guest_strip(session: Session, view: View, progress: TaskProgress, post: Callable[[Message], object]) -> None:
    """The same for the guest bytes of a state."""

    def work() -> Message:
        from qcow2inspect.tui.guestmap import make_guest_map
        from qcow2inspect.tui.strip import strip_of

        return StripMade(strip_of(make_guest_map(view, session.image.geometry.cluster_size, progress), ()), progress)

    guarded("strip", post, work)
