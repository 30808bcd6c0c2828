"""The public surface is what stands here. Changing it means changing this file, too."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import lilcache
from lilcache import Cache, Stats, errors

ROOT = Path(__file__).resolve().parents[2]

FUNCTIONS = """
    add cas check clear close decr delete delete_many destroy get get_many gets incr
    init is_copy pop replace scan set set_many stats touch ttl view
""".split()
CLASSES = "Cache Key Serializer Stats TTL View".split()
ERRORS = """
    AlreadyInitializedError ArgumentError CallerError CapacityError ClosedError
    CorruptError CounterOverflowError ForeignSegmentError KeyEncodingError KeySizeError
    KeyTypeError LilcacheError LockTimeoutError NamespaceError NoSpaceError
    NotBytesError NotInitializedError NotIntegerError OutOfMemoryError SegmentError
    SegmentMismatchError SegmentNotReadyError SegmentOSError SegmentSizeWarning
    SegmentSpaceError SerializationError TTLError TooManyProcessesError
    UnsupportedPlatformError ValueSizeError
""".split()
CACHE = """
    add cas check clear close closed decr delete delete_many destroy get get_many gets
    incr max_value_bytes name pop replace scan set set_many size_bytes stats touch ttl
    view
""".split()
STATS = "as_dict describe hit_ratio name".split()

SIGNATURES = {
    "get": "(key, default=None)",
    "set": "(key, value, ttl=None)",
    "add": "(key, value, ttl=None)",
    "replace": "(key, value, ttl=None)",
    "delete": "(key)",
    "pop": "(key, default=None)",
    "touch": "(key, ttl)",
    "ttl": "(key, default=0.0)",
    "incr": "(key, delta=1, initial=None, ttl=None)",
    "decr": "(key, delta=1, initial=None, ttl=None)",
    "gets": "(key, default=None)",
    "cas": "(key, value, stamp, ttl=None)",
    "get_many": "(keys)",
    "set_many": "(mapping, ttl=None)",
    "delete_many": "(keys)",
    "clear": "()",
    "scan": "()",
    "view": "(key, default=None)",
    "stats": "()",
    "check": "()",
    "close": "()",
    "destroy": "()",
    "init": (
        "(name=None, *, size_mb=None, max_value_mb=None, anonymous=False,"
        " recreate=False, checksums=False, favor='objects', huge_pages=False,"
        " max_processes=None, owner=None, group=None, guard=None, local=0,"
        " local_shared=False,"
        " compression=None, compression_threshold=1024, serializer='auto',"
        " signing_key=None, lock_timeout=1.0)"
    ),
    "is_copy": "(view)",
}


def public(subject: object) -> list[str]:
    return sorted(name for name in dir(subject) if not name.startswith("_"))


def test_names_of_the_package() -> None:
    assert sorted(lilcache.__all__) == sorted(
        [*FUNCTIONS, *CLASSES, *ERRORS, "__version__"]
    )
    for name in lilcache.__all__:
        assert hasattr(lilcache, name)


def test_everything_else_in_the_package_is_a_module() -> None:
    for name in set(public(lilcache)) - set(lilcache.__all__):
        assert inspect.ismodule(getattr(lilcache, name)), name


def test_names_of_classes() -> None:
    assert public(Cache) == sorted(CACHE)
    assert public(Stats) == sorted(STATS)


def test_every_error_is_public() -> None:
    found = [n for n, v in vars(errors).items() if inspect.isclass(v)]
    assert sorted(found) == sorted(ERRORS)


def test_signatures() -> None:
    assert sorted(SIGNATURES) == sorted(FUNCTIONS)
    for name, expected in SIGNATURES.items():
        signature = inspect.signature(getattr(lilcache, name))
        parameters = [
            p.replace(annotation=inspect.Parameter.empty)
            for p in signature.parameters.values()
        ]
        bare = signature.replace(
            parameters=parameters, return_annotation=inspect.Signature.empty
        )
        assert str(bare) == expected, name


def test_everything_public_is_documented_and_annotated() -> None:
    for owner in (lilcache, Cache):
        for name in public(owner):
            value = getattr(owner, name)
            if inspect.isfunction(value):
                assert inspect.getdoc(value), name
                hints = set(inspect.get_annotations(value))
                names = set(inspect.signature(value).parameters) - {"self"}
                assert hints == names | {"return"}, name


def test_the_version_is_that_of_the_changelog() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(r"^## \[?(\d+\.\d+\.\d+|Unreleased)", text, re.MULTILINE)
    assert found
    assert found[1] in ("Unreleased", lilcache.__version__)
