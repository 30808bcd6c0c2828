"""Two copies of the extension in one process, and interpreters inside one."""

from __future__ import annotations

import sys
from pathlib import Path

import lilcache
from lilcache import Cache

from .neighbours import python

COPIES = """if True:
    import importlib.machinery, importlib.util, os, shutil, signal, sys, threading, time
    import lilcache
    from lilcache._ffi import ffi, lib

    name, folder = sys.argv[1:]

    def load(number):
        path = os.path.join(folder, f"copy{number}", "_lilcache.so")
        os.makedirs(os.path.dirname(path))
        shutil.copy(sys.modules["lilcache._lilcache"].__file__, path)
        module = f"copy{number}._lilcache"
        loader = importlib.machinery.ExtensionFileLoader(module, path)
        spec = importlib.util.spec_from_loader(module, loader)
        loaded = importlib.util.module_from_spec(spec)
        loader.exec_module(loaded)
        return loaded

    class Copy:
        def __init__(self, module):
            self.ffi, self.lib = module.ffi, module.lib
            options = self.ffi.new("struct lilcache_options *")
            self.name = self.ffi.new("char[]", f"lilcache-{name}".encode())
            options.name = self.name
            options.size_bytes = 1 << 20
            options.owner = options.group = -1
            out = self.ffi.new("struct lilcache **")
            error = self.ffi.new("struct lilcache_error *")
            assert self.lib.lilcache_open(options, out, error) == 0
            self.cache = out[0]

        def set(self, key, value):
            while True:
                status = self.lib.lilcache_set(
                    self.cache, key, len(key), 0, value, len(value), 0, 0, 0)
                if status != self.lib.LILCACHE_BUSY:
                    return status

        def get(self, key):
            out = self.ffi.new("char[]", 4096)
            got = self.lib.lilcache_get(self.cache, key, len(key), 0, out, 4096)
            return bytes(self.ffi.buffer(out, got >> 8)) if got >= 0 else None

    cache = lilcache.Cache(name, size_mb=1)
    copies = [Copy(load(number)) for number in range(2)]
    bases = {int(ffi.cast("uintptr_t", lib.lilcache_base(cache._handle.pointer)))}
    for one in copies:
        at = one.lib.lilcache_base(one.cache)
        bases.add(int(one.ffi.cast("uintptr_t", at)))
    assert len(bases) == 3, "each copy has a mapping of its own"
    assert cache.stats().processes == 3

    def work(one, seed):
        for number in range(3000):
            key, value = b"%d" % (number % 50), b"%d" % seed * (number % 300)
            assert one.set(key, value) == 0
            found = one.get(key)
            assert found is None or len(set(found)) <= 1

    threads = [threading.Thread(target=work, args=(one, seed))
               for seed, one in enumerate(copies * 2)]
    for thread in threads:
        thread.start()
    for number in range(2000):
        cache.set(b"%d" % (number % 50), b"x" * (number % 300))
    for thread in threads:
        thread.join()
    assert cache.check() == []

    # Children: of all three, dying with whatever they hold.
    for round in range(30):
        pid = os.fork()
        if pid == 0:
            while True:
                for one in copies:
                    one.set(b"child", b"c" * (round * 10))
                cache.set(b"child", b"c" * round)
        time.sleep(0.005)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        for one in copies:
            assert one.set(b"parent", b"p") == 0
            assert one.get(b"parent") == b"p"
        assert cache.get(b"parent") is not None
    copies[0].lib.lilcache_close(copies[0].cache)
    assert copies[1].get(b"parent") == b"p"
    assert cache.check() == []
    stats = cache.stats()
    assert stats.rebuilt == stats.emptied == 0, stats
    cache.destroy()
    print("done")
"""


def test_two_copies_in_one_process(name: str, tmp_path: Path) -> None:
    assert python(COPIES, name, str(tmp_path)) == "done\n"


INTERPRETERS = """if True:
    import sys, warnings
    warnings.simplefilter("ignore")
    try:
        import _interpreters as interpreters
        make = lambda: interpreters.create("legacy")
    except ImportError:
        import _xxsubinterpreters as interpreters
        make = lambda: interpreters.create(isolated=False)
    import lilcache

    name = sys.argv[1]
    cache = lilcache.Cache(name, size_mb=1)
    cache.set("key", "main")
    for number in range(3):
        inner = make()
        failed = interpreters.run_string(inner, f'''if True:
            import sys
            sys.path[:] = {sys.path!r}
            import lilcache
            with lilcache.Cache({name!r}) as cache:
                assert cache.get("key") is not None
                cache.set("key", "inner {number}")
                assert cache.incr("count", initial=1) == {number} + 1
                assert cache.get(1) is None  # by the whole method
        ''')
        assert failed is None, failed
        interpreters.destroy(inner)
        assert cache.get(1, "absent") == "absent"
    with lilcache.Cache(name) as other:
        assert other.get_many(["key", 1]) == {"key": "inner 2"}
    assert cache.get("key") == "inner 2"
    assert cache.get("count") == 3
    assert cache.stats().processes == 1
    assert cache.check() == []
    cache.destroy()
    print("done")
"""


def test_interpreters_inside_one_process(name: str) -> None:
    assert sys.implementation.name == "cpython"
    assert python(INTERPRETERS, name) == "done\n"
    assert isinstance(Cache, type) and lilcache.__version__
