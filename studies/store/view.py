"""The store as a dashboard shows it: what is stored, and beside it what can be told of it.

Trials that have ended cannot change, so their test scores are attributes of the study; here they stand among the
trials' own. Notes, figures and pictures are made when somebody looks, from what is stored then, and never written.
"""

import io
import json
import threading
import time
from collections.abc import Callable, Container, ItemsView, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, BinaryIO

from optuna.artifacts.exceptions import ArtifactNotFound
from optuna.storages._rdb import models
from optuna.study._frozen import FrozenStudy
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import select
from sqlalchemy.orm import Session

from studies.errors import StudyError
from studies.history import test_columns
from studies.records import StudyRecord
from studies.store import formats
from studies.store.bulk import BulkStorage
from studies.store.open_study import read_study

FRESH_SECONDS = 10.0
MOST_LOAD = 0.05  # share of the time that may go into describing a study that changes
_ADDED = ("dashboard:", "artifacts:")


@dataclass(frozen=True, slots=True)
class Picture:
    """An artifact of a study, or of one of its trials.

    Attributes:
        id: Hexadecimal digits and dashes; another where the picture is another.
        name: Of the file.
        draw: Gives the PNG file, None where there is nothing to show; called when somebody looks at it.
        trial: The number of its trial; None for the study.
    """

    id: str
    name: str
    draw: Callable[[], bytes | None]
    trial: int | None = None


@dataclass(frozen=True, slots=True)
class Exhibit:
    """What a dashboard shows of a study beside what is stored.

    Attributes:
        note: On the study, in Markdown.
        trial_notes: By the trial's number.
        figures: Name to a Plotly figure as JSON.
        pictures: Of the study and of its trials.
    """

    note: str = ""
    trial_notes: Mapping[int, str] = field(default_factory=dict)
    figures: Mapping[str, str] = field(default_factory=dict)
    pictures: Sequence[Picture] = ()


Describe = Callable[[StudyRecord], Exhibit]


@dataclass(frozen=True, slots=True)
class _Made:
    exhibit: Exhibit
    attributes: Mapping[str, Any]
    fresh_until: float


class View(BulkStorage):
    """Optuna's view of a store for optuna-dashboard; also the artifact store of the pictures.

    Attributes:
        describe: What to show of a study.
        forget: Called when trials get attributes that they did not have before: optuna-dashboard looks at a trial
            that has ended only once.
    """

    describe: Describe = staticmethod(lambda _record: Exhibit())
    forget: Callable[[], object] = staticmethod(lambda: None)

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._made: dict[int, _Made] = {}
        self._columns: dict[int, set[str]] = {}
        self._making, self._drawing = threading.Lock(), threading.Lock()

    def get_all_studies(self) -> list[FrozenStudy]:
        """All studies, whose system attributes hold what is shown of them; what only machines read is left out."""
        studies = super().get_all_studies()
        for study in studies:
            told = {key: value for key, value in study.user_attrs.items() if not _is_packed(value)}
            told.pop(formats.KEY, None)
            study.user_attrs = told
            study.system_attrs = self._completed(study._study_id, study.system_attrs)  # type: ignore[assignment]
        return studies

    def get_study_system_attrs(self, study_id: int) -> dict[str, Any]:
        """What is stored, and what is shown besides."""
        return dict(self._completed(study_id, super().get_study_system_attrs(study_id)))

    def get_all_trials(
        self, study_id: int, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        """All trials, with their test scores and pictures."""
        return self._shown(study_id, super().get_all_trials(study_id, deepcopy, states))

    def get_best_trial(self, study_id: int) -> FrozenTrial:
        """The best trial, with its test score and pictures."""
        (trial,) = self._shown(study_id, [super().get_best_trial(study_id)])
        return trial

    def get_trial_system_attrs(self, trial_id: int) -> dict[str, Any]:
        """What is stored of a trial, and its pictures."""
        stored = super().get_trial_system_attrs(trial_id)
        place = models.TrialModel
        with Session(self.engine) as session:
            row = session.execute(select(place.study_id, place.number).where(place.trial_id == trial_id)).one()
        return stored | _artifacts(self._pictures(row.study_id).get(row.number, ()))

    def open_reader(self, artifact_id: str) -> BinaryIO:
        """The file of a picture.

        Raises:
            ArtifactNotFound: There is none of that id.
        """
        known = (picture for made in list(self._made.values()) for picture in made.exhibit.pictures)
        picture = next((picture for picture in known if picture.id == artifact_id), None)
        with self._drawing:  # matplotlib's fonts are shared between threads
            content = picture.draw() if picture else None
        if content is None:
            raise ArtifactNotFound(f"no picture {artifact_id}")
        return io.BytesIO(content)

    def write(self, artifact_id: str, content_body: BinaryIO) -> None:
        """Refused: pictures are made, not stored."""
        raise PermissionError("this view keeps no files")

    def remove(self, artifact_id: str) -> None:
        """Refused, as writing is."""
        raise PermissionError("this view keeps no files")

    def _completed(self, study_id: int, stored: Mapping[str, Any]) -> "_Attributes":
        return _Attributes(stored, lambda: self._attributes(study_id))

    def _shown(self, study_id: int, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        tested = test_columns(self.get_study_user_attrs(study_id))
        pictures = self._pictures(study_id)
        for trial in trials:
            trial.user_attrs = tested.get(trial.number, {}) | trial.user_attrs  # in front, for few lines are shown
            trial.system_attrs |= _artifacts(pictures.get(trial.number, ()))
        columns = {name for scores in tested.values() for name in scores}
        if columns - self._columns.get(study_id, set()):
            self._columns[study_id] = columns
            self.forget()
        return trials

    def _pictures(self, study_id: int) -> Mapping[int | None, Sequence[Picture]]:
        by_trial: dict[int | None, list[Picture]] = {}
        for picture in self._exhibit(study_id).pictures:
            by_trial.setdefault(picture.trial, []).append(picture)
        return by_trial

    def _attributes(self, study_id: int) -> dict[str, Any]:
        """What is shown of a study in the form in which optuna-dashboard stores it."""
        exhibit = self._exhibit(study_id)
        ids = self._trial_ids(study_id, exhibit.trial_notes)
        notes = {f"dashboard:{ids[number]}": text for number, text in exhibit.trial_notes.items() if number in ids}
        notes |= {"dashboard": exhibit.note} if exhibit.note else {}
        attributes: dict[str, Any] = {}
        for prefix, text in notes.items():
            attributes |= {f"{prefix}:note_ver": 0, f"{prefix}:note_str:0": text}
        attributes |= {f"dashboard:plot_data:{name}:0": figure for name, figure in exhibit.figures.items()}
        return attributes | _artifacts([picture for picture in exhibit.pictures if picture.trial is None])

    def _trial_ids(self, study_id: int, numbers: Mapping[int, str]) -> dict[int, int]:
        place = models.TrialModel
        query = select(place.number, place.trial_id).where(place.study_id == study_id, place.number.in_(list(numbers)))
        with Session(self.engine) as session:
            return {number: trial_id for number, trial_id in session.execute(query)}  # noqa: C416

    def _exhibit(self, study_id: int) -> Exhibit:
        attributes = self.get_study_user_attrs(study_id)
        if "uuid" not in attributes:  # another program's study, of which we know nothing
            return Exhibit()
        with self._making:
            made = self._made.get(study_id)
            if made is None or not _is_fresh(made, attributes):
                made = self._made[study_id] = self._make(study_id, attributes)
        return made.exhibit

    def _make(self, study_id: int, attributes: Mapping[str, Any]) -> _Made:
        begun = time.monotonic()
        name = self.get_study_name_from_id(study_id)
        try:
            with Session(self.engine) as session:
                exhibit = self.describe(read_study(session, "the store", name, study_id))
        except StudyError:  # of a newer toprung, or damaged: what Optuna sees of it is shown all the same
            exhibit = Exhibit()
        spent = time.monotonic() - begun
        return _Made(exhibit, attributes, begun + max(FRESH_SECONDS, spent / MOST_LOAD))


class _Attributes(Mapping[str, Any]):
    """Stored attributes, and others that are made when somebody asks for them: lists of studies don't."""

    def __init__(self, stored: Mapping[str, Any], added: Callable[[], Mapping[str, Any]]) -> None:
        self._stored = stored
        self._make = added
        self._all: Mapping[str, Any] | None = None

    def __getitem__(self, key: str) -> Any:
        if key in self._stored or not key.startswith(_ADDED):
            return self._stored[key]
        return self._merged()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._merged())

    def __len__(self) -> int:
        return len(self._merged())

    def items(self) -> ItemsView[str, Any]:
        """All of them, from the dictionary that holds them: optuna-dashboard goes through them once for each trial."""
        return self._merged().items()

    def _merged(self) -> Mapping[str, Any]:
        """Both; where a person has written a note, that one."""
        if self._all is None:
            added = self._make()
            kept = {key: value for key, value in added.items() if not _is_replaced(key, self._stored)}
            self._all = MappingProxyType({**kept, **self._stored})
        return self._all


def _is_packed(value: Any) -> bool:
    """Whether an attribute is a list or a dict, be it as text: a plan, a space, a score."""
    return isinstance(value, list | dict) or (isinstance(value, str) and value[:1] in ("{", "["))


def _is_replaced(key: str, stored: Mapping[str, Any]) -> bool:
    prefix, note, _ = key.partition(":note_")
    return bool(note) and f"{prefix}:note_ver" in stored


def _is_fresh(made: _Made, attributes: Mapping[str, Any]) -> bool:
    """Nothing changes in a finished study but its attributes."""
    same = made.attributes == attributes
    if made.attributes["uuid"] != attributes["uuid"]:
        return False
    return (same and attributes.get("state") == "finished") or time.monotonic() < made.fresh_until


def _artifacts(pictures: Sequence[Picture]) -> dict[str, str]:
    about = {"mimetype": "image/png", "encoding": None}
    return {
        f"artifacts:{picture.id}": json.dumps({"artifact_id": picture.id, "filename": picture.name, **about})
        for picture in pictures
    }
