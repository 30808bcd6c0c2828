"""Importing: cheap, possible everywhere, and honest about a wrong extension."""

from __future__ import annotations

from ..conftest import run_python


def test_elsewhere_the_package_imports_and_init_says_why_not() -> None:
    out = run_python(
        """
        import sys
        sys.platform = "darwin"
        import lilcache
        assert "lilcache._lilcache" not in sys.modules
        for make in (lilcache.init, lambda: lilcache.Cache("name", size_mb=1)):
            try:
                make()
            except lilcache.UnsupportedPlatformError as error:
                print(error)
        try:
            lilcache.get("key")
        except lilcache.NotInitializedError:
            print("not initialized")
        """
    )
    lines = out.splitlines()
    assert "Linux" in lines[0]
    assert "Linux" in lines[1]
    assert lines[2] == "not initialized"


def test_importing_brings_no_heavy_modules() -> None:
    out = run_python(
        """
        import sys
        before = set(sys.modules)
        import lilcache
        print("\\n".join(sorted(set(sys.modules) - before)))
        """
    )
    loaded = set(out.split())
    heavy = {"asyncio", "argparse", "msgspec", "numpy", "multiprocessing", "redis"}
    assert not loaded & (heavy | {"django", "flask", "importlib.metadata", "tempfile"})


def test_an_extension_of_another_version_is_refused() -> None:
    out = run_python(
        """
        import sys
        import lilcache._version
        for name in [n for n in sys.modules if n.startswith("lilcache")]:
            if name != "lilcache._version":
                del sys.modules[name]
        sys.modules["lilcache._version"].__version__ = "9.9.9"
        try:
            import lilcache
        except ImportError as error:
            print(error)
        """
    )
    assert "lilcache 9.9.9 found an extension built for" in out
    assert "pip install" in out
