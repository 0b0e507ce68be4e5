import os

import pytest

from search.compiled import compiled_programs


def test_the_folder_is_the_user_s_alone_and_stays_the_same(tmp_path):
    folder = compiled_programs({"XDG_CACHE_HOME": str(tmp_path)})
    assert folder.is_relative_to(tmp_path / "toprung")
    assert folder.stat().st_mode & 0o777 == 0o700
    assert compiled_programs({"XDG_CACHE_HOME": str(tmp_path)}) == folder


def test_a_folder_that_others_may_write_is_not_used(tmp_path):
    compiled_programs({"XDG_CACHE_HOME": str(tmp_path)}).chmod(0o777)
    assert compiled_programs({"XDG_CACHE_HOME": str(tmp_path)}) is None


def test_where_no_folder_can_be_made_there_is_none(tmp_path):
    (tmp_path / "file").write_text("")
    assert compiled_programs({"XDG_CACHE_HOME": str(tmp_path / "file")}) is None


@pytest.mark.parametrize(("most", "left"), [(30, {"a", "b", "c"}), (29, {"b", "c"}), (10, {"c"}), (0, set())])
def test_the_oldest_programs_make_room(tmp_path, most, left):
    folder = compiled_programs({"XDG_CACHE_HOME": str(tmp_path)})
    for age, name in enumerate("cba"):
        (folder / name).write_bytes(bytes(10))
        os.utime(folder / name, (1000 - age, 1000 - age))
    compiled_programs({"XDG_CACHE_HOME": str(tmp_path)}, most)
    assert {path.name for path in folder.iterdir()} == left
