"""Reading and writing a database in whole transactions."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from studies.store.databases import Database
from studies.store.faults import disconnected, explained

Answer = TypeVar("Answer")


class Access:
    """One database and the engine that reaches it.

    Args:
        database: Where it is.
        engine: With the database's own listeners.
    """

    def __init__(self, database: Database, engine: Engine) -> None:
        self.database = database
        self.engine = engine
        self._reader = engine.execution_options(**database.reading)

    def explained(self) -> AbstractContextManager[None]:
        """A context in which whatever the database raises becomes a `StudyError`."""
        return explained(self.database.place, self.database.secrets)

    def read(self, query: Callable[[Session], Answer]) -> Answer:
        """Ask in a session whose queries all see the same moment, and that waits for no writer.

        Args:
            query: Is given the session; it may be asked again where the server went away meanwhile.

        Returns:
            What the query returns.

        Raises:
            StudyError: The database cannot be read.
        """

        def once(_again: bool) -> Answer:
            with Session(self._reader) as session:
                return query(session)

        return self._patiently(once)

    def write(self, change: Callable[[Session, bool], Answer]) -> Answer:
        """Make a change in one transaction: all of it, or nothing.

        Args:
            change: Is given the session, and whether this is another try after the server went away
                at a moment when the first may or may not have been committed.

        Returns:
            What the change returns.

        Raises:
            StudyError: The database cannot be written.
        """

        def once(again: bool) -> Answer:
            with Session(self.engine) as session, session.begin():
                return change(session, again)

        return self._patiently(once)

    def _patiently(self, once: Callable[[bool], Answer]) -> Answer:
        """Do something, again and again while the server is away, and say whether it is another try."""
        deadline = time.monotonic() + self.database.patience_seconds
        pause, again = 0.5, False
        with self.explained():
            while True:
                try:
                    self.database.check()
                    return once(again)
                except SQLAlchemyError as error:
                    if not disconnected(error) or time.monotonic() > deadline:
                        raise
                time.sleep(pause)
                pause, again = min(2 * pause, 10.0), True
