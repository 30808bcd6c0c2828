"""lilcache.errors and the funnel: one exception per code, and messages that help."""

from __future__ import annotations

import errno
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import lilcache
from lilcache import LilcacheError, _status, errors
from lilcache._ffi import ffi, lib
from lilcache._options import Options

STATUS_DEF = Path(__file__).resolve().parents[2] / "csrc" / "status.def"
ROWS = re.findall(
    r'^X\((\w+), (-?\d+), (\w+), "(.*)"\)$', STATUS_DEF.read_text(), re.MULTILINE
)
BRANCHES = {
    "CALLER": errors.CallerError,
    "CAPACITY": errors.CapacityError,
    "SEGMENT": errors.SegmentError,
}


def test_the_table_was_read() -> None:
    assert len(ROWS) > 15


@pytest.mark.parametrize(("name", "code", "kind", "text"), ROWS)
def test_every_code(name: str, code: str, kind: str, text: str) -> None:
    assert _status.status_name(int(code)) == name
    assert _status.status_text(int(code)) == text
    if kind == "OUTCOME":
        assert name not in _status.ERRORS
        return
    error = _status.error_for(int(code), "shop", "a detail")
    assert isinstance(error, BRANCHES[kind])
    assert "'shop'" in str(error)
    assert text in str(error)
    assert "a detail" in str(error)
    assert _status.ERRORS[name][1] in str(error)


def test_nothing_but_codes_is_mapped() -> None:
    assert set(_status.ERRORS) == {row[0] for row in ROWS if row[2] != "OUTCOME"}


def test_unknown_codes_are_errors_too() -> None:
    assert isinstance(_status.error_for(-999, "shop"), errors.SegmentError)


def classes() -> list[type[Exception]]:
    return [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, Exception)
    ]


def test_the_tree_is_drawn_as_it_is() -> None:
    assert errors.__doc__ is not None
    for kind in classes():
        if kind is errors.SegmentSizeWarning:
            continue
        assert issubclass(kind, LilcacheError)
        assert kind.__name__ in errors.__doc__
        for base in kind.__bases__:
            if not issubclass(base, LilcacheError) and base is not Exception:
                line = re.search(rf"\b{kind.__name__} .*", errors.__doc__)
                assert line and base.__name__ in line[0]


def test_all_are_public_and_survive_pickling() -> None:
    for kind in classes():
        assert getattr(lilcache, kind.__name__) is kind
        copy = pickle.loads(pickle.dumps(kind("message")))
        assert type(copy) is kind
        assert str(copy) == "message"


def failure(status: int, code: int, step: bytes) -> Any:
    found = ffi.new("struct lilcache_error *")
    found.status = status
    found.os_errno = code
    found.wanted_bytes = 64 << 20
    found.available_bytes = 3 << 20
    found.step = step
    return found


def test_open_errors() -> None:
    options = Options(name="shop")
    no_space = failure(lib.LILCACHE_OS, errno.ENOSPC, b"posix_fallocate")
    error = _status.open_error(no_space, options)
    assert isinstance(error, errors.SegmentSpaceError)
    assert "64.0 MiB do not fit in /dev/shm, which has 3.0 MiB" in str(error)
    assert "--shm-size" in str(error)
    error = _status.open_error(no_space, Options(name="shop", anonymous=True))
    assert "--shm-size" not in str(error)

    denied = failure(lib.LILCACHE_OS, errno.EACCES, b"shm_open")
    error = _status.open_error(denied, options)
    assert isinstance(error, PermissionError)
    assert "shm_open: Permission denied" in str(error)

    other = failure(lib.LILCACHE_OS, errno.EMFILE, b"shm_open")
    error = _status.open_error(other, options)
    assert isinstance(error, errors.SegmentOSError)
    assert error.errno == errno.EMFILE
    assert "Too many open files" in str(error)

    mismatch = failure(lib.LILCACHE_MISMATCH, 0, b"magic")
    error = _status.open_error(mismatch, options)
    assert isinstance(error, errors.SegmentMismatchError)
    assert "magic" in str(error)


def test_a_foreign_object_is_refused(unique_name: Any) -> None:
    """An object of the name that others may write: a value in it could be anybody's."""
    name = unique_name()
    with lilcache.Cache(name, size_mb=1):
        pass
    [path] = Path("/dev/shm").glob(f"lilcache-{name}*")
    path.chmod(0o666)
    with pytest.raises(PermissionError, match="others have access"):
        lilcache.Cache(name)
    path.chmod(0o600)


def test_a_damaged_header_is_refused_or_does_no_harm(unique_name: Any) -> None:
    name = unique_name()
    with lilcache.Cache(name, size_mb=1) as cache:
        cache.set("key", "value")
    [path] = Path("/dev/shm").glob(f"lilcache-{name}*")
    whole = path.read_bytes()
    refused = 0
    for at in range(256):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        try:
            with lilcache.Cache(name) as cache:
                cache.get("key")
        except LilcacheError as error:
            assert name in str(error)
            refused += 1
    assert refused > 50
