"""All trials of a search as they stand, and the way of every change of theirs into the store."""

from __future__ import annotations

from typing import Any, Self

from search.blobs import Blobs
from search.flight import Flight
from search.ledger import Ledger
from spaces import Space
from spaces.parameters import Params
from studies.files import TRIAL_LOG, trial_folder
from studies.history import system_attributes, user_attributes
from studies.plan import StudyPlan
from studies.records import TrialRecord
from studies.sampler import distributions
from studies.store import OpenStudy


class Logbook:
    """The records of a study, in memory and in the store.

    Attributes:
        flights: Trials that may still go on, by number.
    """

    def __init__(self, study: OpenStudy, plan: StudyPlan, space: Space, blobs: Blobs) -> None:
        self._study = study
        self._space = space
        self._plan = plan
        self._blobs = blobs
        self._ledger = Ledger(study.commit)
        self._records = {record.number: record for record in study.records()}
        self.flights = {r.number: self._flight(r) for r in self._records.values() if not r.finished}
        self.seconds_before = float((study.attribute("now") or {}).get("elapsed", 0.0))
        for number, (epochs, deaths) in (study.attribute("deaths") or {}).items():
            flight = self.flights.get(int(number))
            if flight is not None and flight.epochs == epochs:  # none has been completed since
                flight.deaths = deaths

    @property
    def records(self) -> list[TrialRecord]:
        """All trials as they stand, by number."""
        return list(self._records.values())  # new ones come at the end

    def __len__(self) -> int:
        return len(self._records)

    def settled(self, params: Params) -> Params:
        """Params as trials have them: 0.3 where a user wrote 0.30000000000000004 for a place of a grid."""
        return {name: self._space.parameter(name).settle(value) for name, value in params.items()}

    def create(self, params: Params, bracket: int | None) -> None:
        """Begin the next trial."""
        number = len(self._records)
        self._ledger.add(self._study.creation(params, distributions(self._space, params), bracket))
        record = TrialRecord(number=number, state="running", params=params, bracket=bracket)
        self._records[number] = record
        self.flights[number] = self._flight(record)

    def save(self, flight: Flight) -> None:
        """One change: the epochs since the last, the attributes, and the state."""
        values, flight.unsaved = flight.unsaved, {}
        record = flight.record
        if record.finished:  # before the store knows, so that a run that is killed in between comes back to it
            self._blobs.put(f"{trial_folder(record.number)}/history.csv", _history(record))
        attributes = user_attributes(record), system_attributes(record)
        self._ledger.add(self._study.writing(record.number, values, *attributes, record.state, record.value))
        self._records[record.number] = record
        if record.finished:
            del self.flights[record.number]

    def save_epochs(self) -> None:
        """Let readers of the store see epochs of trials that are on their way to a rung."""
        for flight in list(self.flights.values()):
            if flight.unsaved:
                self.save(flight)

    def lost_worker(self, flight: Flight) -> None:
        """Count a death of a worker over a trial, also for later runs: it may be the trial's fault."""
        flight.deaths += 1
        told = {number: [one.epochs, one.deaths] for number, one in self.flights.items() if one.deaths}
        self._ledger.add(self._study.setting("deaths", told))

    def fail(self, flight: Flight, reason: str, details: str) -> None:
        """End a trial that cannot go on, and leave what is known of it in its folder."""
        flight.ends("failed", reason)
        text = f"{reason}\n\n{details}\n"
        self._blobs.put(f"{trial_folder(flight.record.number)}/{TRIAL_LOG}", text.encode())
        self.save(flight)

    def tell(self, now: dict[str, Any]) -> None:
        """Keep what `toprung status` shows of a search that is under way."""
        self._ledger.add(self._study.setting("now", now))

    def settle(self) -> None:
        """Wait until the store has everything.

        Raises:
            StudyError: It couldn't be written.
        """
        self._ledger.settle()

    def __enter__(self) -> Self:
        self._ledger.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._ledger.__exit__(*error)

    def _flight(self, record: TrialRecord) -> Flight:
        plan = self._plan
        return Flight(record, plan.objective.monitor, plan.objective.direction, plan.early_stopping)


def _history(record: TrialRecord) -> bytes:
    """A trial's metrics as CSV, one row an epoch."""
    names = sorted(record.history)
    rows = zip(range(1, record.epochs + 1), *(record.history[name] for name in names), strict=True)
    lines = [["epoch", *names], *([str(value) for value in row] for row in rows)]
    return "".join(f"{','.join(line)}\n" for line in lines).encode()
