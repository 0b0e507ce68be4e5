"""Create, resume, list and delete studies: the one package that knows a database.

A store is a SQLite file or a PostgreSQL database in Optuna's schema, so that any Optuna tool opens
it. One process at a time writes a study, holding a lock that dies with it; any number may read.
"""

from studies.files import sqlite_url
from studies.store.databases import has_password
from studies.store.open_study import OpenStudy
from studies.store.stores import Store

__all__ = ["OpenStudy", "Store", "has_password", "sqlite_url"]
