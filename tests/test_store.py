"""The store by itself: what is put comes back, whatever happens to the file is one line, and claims divide the work."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import random
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator.errors import OutputError, StoreNote
from simulator.study.failure import Failure
from simulator.study.store import Claims, Store, Stored, database, file_system, owners
from simulator.study.store.complaints import DamagedError
from simulator.study.store.packing import pack_layers, pack_row, unpack_layers, unpack_row

ROW = {"design": "a", "cycles": 2**70, "energy_pj": 0.1, "exact": None, "sqnr_db": math.inf, "size": [8, 16]}
LAYERS = [{"op": "up", "M": 1, "x": 0.0}, {"op": "down", "M": 2, "x": -0.0}, {"pass": "softmax", "M": True}]
ROOT = Path(__file__).parent.parent

values = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=5),
    st.lists(st.integers(0, 1), max_size=2),
)  # fmt: skip
rows = st.dictionaries(st.sampled_from("abcdef"), values)


def same(left, right):
    """Equal in value, type, order of keys and sign of zero."""
    return repr(left) == repr(right)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(rows, max_size=6))
def test_layers_come_back_to_the_bit_in_order(layers):
    assert same(unpack_layers(pack_layers(layers)), layers)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows)
def test_rows_come_back_to_the_bit_in_order(row):
    names, packed = pack_row(row)
    assert same(unpack_row(list(row), packed), row)
    assert same(list(row), json.loads(names))


def test_what_is_put_comes_back_also_from_a_file_that_was_closed(tmp_path):
    failure = Failure("no such thing", "ConfigError")
    with Store(tmp_path / "run") as store:
        assert store.get("a") is None
        assert not (tmp_path / "run").exists()
        store.put("a", ROW, LAYERS)
        store.put("b", {}, [], failure)
        before = store.get_many(["b", "nothing", "a"])
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["results.sqlite"]
    with Store(tmp_path / "run") as store:
        after = store.get_many(["a", "b"])
        assert store.get_many(["a"], layers=False) == {"a": Stored(ROW, [])}
        assert store.keys() == ["a", "b"]
    assert before == after
    assert same(after["a"].layers, LAYERS)
    assert after["b"] == Stored({}, [], failure)


def test_documents(tmp_path):
    with Store(tmp_path) as store:
        assert store.document("manifest.json") is None
        store.save({"manifest.json": b"{}", "results.parquet": bytes(range(256))})
        store.save({"manifest.json": b"[]"})
        assert (store.document("manifest.json"), store.document("results.parquet")) == (b"[]", bytes(range(256)))
        assert store.kind == "run"


def test_fresh_forgets_points_and_documents(tmp_path):
    with Store(tmp_path) as store:
        store.put("a", ROW)
        store.save({"manifest.json": b"{}"})
    with Store(tmp_path, fresh=True) as store:
        assert store.get("a") is None
        assert store.document("manifest.json") is None
        store.put("a", ROW)


def test_fresh_beside_a_living_run_is_refused_and_forgets_nothing(tmp_path):
    with Store(tmp_path) as store, Claims(store, items(2)) as claims:
        claims.take(1)
        store.put("k0", ROW)
        with pytest.raises(OutputError) as caught:
            Store(tmp_path, fresh=True)
        who = f"process {os.getpid()} on {platform.node()}"
        assert str(caught.value) == (
            f"{store.path}: another run ({who}) is at work on it, and --fresh would forget its points; wait for it, "
            "stop it or name another --out"
        )
        assert store.keys() == ["k0"]
        assert len(list(store._db.execute("SELECT * FROM claims"))) == 1
    with Store(tmp_path, fresh=True) as store:
        assert store.keys() == []


def test_fresh_after_a_run_that_was_killed_forgets_it(tmp_path):
    subprocess.run([sys.executable, "-c", CLAIMER, str(tmp_path), "SIGKILL"], capture_output=True, cwd=ROOT)
    with Store(tmp_path, fresh=True) as store:
        store.put("k0", ROW)
        assert list(store._db.execute("SELECT * FROM claims UNION SELECT id, host FROM owners")) == []


def test_a_finished_store_opens_where_nothing_can_be_written(tmp_path):
    with Store(tmp_path / "run") as store:
        store.put("a", ROW)
    copy_without_rights = tmp_path / "immutable"
    shutil.copytree(tmp_path / "run", copy_without_rights)
    before = sorted(p.name for p in copy_without_rights.iterdir())
    with Store(copy_without_rights, read_only=True) as store:
        assert store.get("a").row == ROW
        with pytest.raises(OutputError, match=r"cannot be written \(attempt to write a readonly database\)"):
            store.put("b", ROW)
    assert sorted(p.name for p in copy_without_rights.iterdir()) == before


INTERRUPTED = """
import os, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = DELETE")
db.execute("PRAGMA cache_size = 1")  # changed pages reach the file before the end
db.execute("BEGIN IMMEDIATE")
db.execute("CREATE TABLE more (x)")
db.executemany("INSERT INTO more VALUES (?)", [("x" * 1000,)] * 300)
os.kill(os.getpid(), 9)
"""


def test_reading_rolls_back_what_a_kill_left_undone(tmp_path):
    with Store(tmp_path / "run") as store:
        store.put("a", ROW)
    path = tmp_path / "run" / "results.sqlite"
    killed = subprocess.run([sys.executable, "-c", INTERRUPTED, path], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "run" / "results.sqlite-journal").stat().st_size
    with Store(tmp_path / "run", read_only=True) as store:
        assert store.get("a").row == ROW
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["results.sqlite"]


def test_reading_does_not_wait_for_a_writer(tmp_path):
    with Store(tmp_path) as store, Store(tmp_path, read_only=True) as reader:
        store.put("a", ROW)
        with store.transaction():
            assert reader.get("a").row == ROW


def locked(path):
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("BEGIN EXCLUSIVE")
    return contextlib.closing(db)


def test_a_locked_store_is_one_line_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE_S", 0.2)
    why = "locked by another program for 0.2 s, such as a database browser"
    message = f"{tmp_path / 'results.sqlite'}: {why}; close that and run again; finished points are kept"
    with Store(tmp_path) as store:
        store.put("a", ROW)
        with locked(store.path), pytest.raises(OutputError) as caught:
            store.put("b", ROW)
        assert str(caught.value) == message
        store.put("b", ROW)
    with locked(tmp_path / "results.sqlite"), pytest.raises(OutputError) as caught, Store(tmp_path) as store:
        store.get("a")
    assert str(caught.value) == message
    with Store(tmp_path) as store:
        assert store.keys() == ["a", "b"]


@contextlib.contextmanager
def small_disk(folder, size):
    folder.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_loses_nothing(tmp_path):
    with small_disk(tmp_path / "disk", "256k") as disk:
        stored = fill(disk)
        assert 0 < len(stored) < 2000
        with Store(disk, read_only=True) as store:
            assert store.keys() == stored
        shutil.copytree(disk, tmp_path / "copy")
    with Store(tmp_path / "copy") as store:
        assert store.keys() == stored
        store.put("more", ROW)
    assert [p.name for p in (tmp_path / "copy").iterdir()] == ["results.sqlite"]


def fill(disk):
    stored = []

    def put_all():
        with Store(disk) as store:
            for i in range(2000):
                store.put(str(i), ROW | {"text": "x" * 500})
                stored.append(str(i))

    with pytest.raises(OutputError) as caught:
        put_all()
    line = str(caught.value)
    assert "finished points are kept" in line
    assert "disk" in line
    assert "\n" not in line
    return stored


def test_a_limit_on_file_sizes_is_one_line_and_loses_nothing(tmp_path):
    """As a full disk, without root."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        stored = fill(tmp_path / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert 0 < len(stored) < 2000
    with Store(tmp_path / "run") as store:
        assert store.keys() == stored


def test_points_that_are_stored_together_are_stored_all_or_none(tmp_path):
    long = {str(i): Stored(ROW | {"text": "x" * 500, "new": i}, LAYERS) for i in range(2000)}
    with Store(tmp_path) as store:
        store.put("before", ROW)
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
        try:
            with pytest.raises(OutputError, match="finished points are kept"):
                store.put_many(long)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert store.keys() == ["before"]
        with pytest.raises(TypeError):
            store.put_many({"good": Stored(ROW, []), "bad": Stored({"x": object()}, [])})
        assert store.keys() == ["before"]
        some = dict(list(long.items())[:3])
        store.put_many(some)  # names that were numbered above are numbered again
        store.put_many({})
    with Store(tmp_path) as store:
        assert store.keys() == ["before", "0", "1", "2"]
        assert store.get_many(some) == some


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights(tmp_path):
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(OutputError, match="Permission denied"), Store(tmp_path / "run") as store:
        store.put("a", ROW)


def test_a_read_only_disk(tmp_path):
    with small_disk(tmp_path / "disk", "1m") as disk:
        with Store(disk) as store:
            store.put("a", ROW)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        with Store(disk, read_only=True) as store:
            assert store.get("a").row == ROW
        with pytest.raises(OutputError, match=r"results.sqlite: cannot be written"), Store(disk) as store:
            store.put("b", ROW)


def filled(folder, count=200):
    with Store(folder) as store:
        for i in range(count):
            store.put(f"{i:03}", ROW | {"i": i, "text": "y" * 300}, LAYERS)
    return folder / "results.sqlite"


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
def test_a_store_cut_short_is_one_line(cut, tmp_path):
    path = filled(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    with pytest.raises(OutputError, match=r"not a usable result store: .*; nothing in it was changed"):
        read_all(tmp_path)
    assert path.read_bytes() == content[: int(len(content) * cut)]


def read_all(folder):
    with Store(folder) as store:
        return store.get_many(f"{i:03}" for i in range(200))


@pytest.mark.parametrize("seed", range(25))
def test_a_flipped_byte_is_noticed_or_without_effect(seed, tmp_path):
    """No damage gives another result: it is one line, or the point is gone or as it was."""
    path = filled(tmp_path)
    right = read_all(tmp_path)
    content = bytearray(path.read_bytes())
    place = random.Random(seed).randrange(100, len(content))
    content[place] ^= 1 << random.Random(seed).randrange(8)
    path.write_bytes(content)
    found = {}
    with contextlib.suppress(OutputError):
        found = read_all(tmp_path)
    assert all(right[key] == stored for key, stored in found.items())


def test_damage_inside_a_point_is_named():
    with pytest.raises(DamagedError, match="layers of a point are damaged"):
        unpack_layers(pack_layers(LAYERS)[:-3])


@pytest.mark.parametrize("kind", ["sensitivity", "accuracy"])
def test_another_command_s_store_is_refused(kind, tmp_path):
    with Store(tmp_path) as store:
        store.put("a", ROW)
    with pytest.raises(OutputError) as caught, Store(tmp_path, kind) as store:
        store.get("a")
    assert str(caught.value) == (
        f"{tmp_path}: holds what `olivine run` made, which `olivine {kind}` would overwrite; name another --out"
    )


def first_version(path):
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE points (key TEXT PRIMARY KEY, result TEXT NOT NULL, layers TEXT NOT NULL)")
        db.execute("PRAGMA user_version = 1")


def test_an_older_store_is_refused_and_replaced_only_with_fresh(tmp_path):
    first_version(tmp_path / "results.sqlite")
    before = (tmp_path / "results.sqlite").read_bytes()
    with pytest.raises(OutputError) as caught, Store(tmp_path) as store:
        store.get("a")
    assert str(caught.value) == (
        f"{tmp_path / 'results.sqlite'}: written by an older version (schema 1, this one uses 3), whose points this "
        "one would not use again; replace it with --fresh or name another --out"
    )
    assert (tmp_path / "results.sqlite").read_bytes() == before
    with Store(tmp_path, fresh=True) as store:
        store.put("a", ROW)
        assert store.keys() == ["a"]


def test_another_program_s_database_is_not_replaced(tmp_path):
    with contextlib.closing(sqlite3.connect(tmp_path / "results.sqlite")) as db:
        db.execute("CREATE TABLE mail (text TEXT)")
        db.execute("PRAGMA user_version = 1")
    with pytest.raises(OutputError, match="another program's database"):
        Store(tmp_path, fresh=True)
    with contextlib.closing(sqlite3.connect(tmp_path / "results.sqlite")) as db:
        assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("mail",)]


MOUNTS = """22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme rw
31 22 0:28 / /home rw - nfs4 server:/home rw
40 31 0:50 / /home/my\\040disk rw,noatime shared:3 master:7 - xfs /dev/sdb rw
41 22 0:51 / /mnt rw - fuse.sshfs you@there rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/", "ext4"), ("/home", "nfs4"), ("/home/you/x", "nfs4"), ("/home/my disk/x", "xfs"), ("/homes", "ext4"),
     ("/mnt/run", "fuse.sshfs")],
)  # fmt: skip
def test_kinds_of_file_systems(folder, kind, tmp_path):
    (tmp_path / "mountinfo").write_text(MOUNTS)
    assert file_system.kind_of(Path(folder), tmp_path / "mountinfo") == kind
    assert file_system.kind_of(Path(folder), tmp_path / "nothing") == "unknown"


def test_on_a_shared_file_system_there_is_no_log_and_it_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "is_local", lambda folder: False)
    with Store(tmp_path) as store:
        with pytest.warns(StoreNote, match="on a file system that may be shared"):
            store.put("a", ROW)
        assert [p.name for p in tmp_path.iterdir()] == ["results.sqlite"]
        assert store._db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)


WRITER = """
import sys
from pathlib import Path
from simulator.study.store import Store
with Store(Path(sys.argv[1])) as store:
    for i in range(int(sys.argv[2]), 100_000):
        store.put(str(i), {"i": i}, [{"i": i}])
        print(i, flush=True)
"""


def test_what_put_returned_for_outlives_kill_9(tmp_path):
    """A writer is killed at random moments; whatever it said was stored is there, and nothing else but one more."""
    chance, next_one = random.Random(3), 0
    for _ in range(6):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(next_one)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
            process.stdout.readline()
            time.sleep(chance.random() * 0.1)
            process.kill()
            said = next_one + len(process.stdout.read().split())
        with Store(tmp_path) as store:
            keys = store.keys()
        assert len(keys) - said - 1 in (0, 1)
        assert keys == [str(i) for i in range(len(keys))]
        next_one = len(keys)


def items(count):
    return {f"k{i}": i for i in range(count)}


def test_claims_hand_out_every_item_once(tmp_path):
    with Store(tmp_path) as first, Store(tmp_path) as second:
        first.put("k1", ROW)
        with Claims(first, items(10)) as mine, Claims(second, items(10)) as theirs:
            assert mine.take(3) == [0, 2, 3]
            assert theirs.take(2) == [4, 5]
            assert mine.take(99) == [6, 7, 8, 9]
            assert theirs.take(99) == []
            for key in ("k0", "k2", "k3", "k6"):
                first.put(key, ROW)
            assert theirs.take(99) == []
            assert mine.left == 2
            assert mine.take(1) == []
        assert mine.left == 2


def test_claims_given_up_are_free(tmp_path):
    with Store(tmp_path) as first, Store(tmp_path) as second:
        with Claims(second, items(4)) as theirs:
            with Claims(first, items(4)) as mine:
                assert mine.take(2) == [0, 1]
                assert theirs.take(4) == [2, 3]
                first.put("k0", ROW)
            assert theirs.take(4) == [1]
            for key in ("k1", "k2", "k3"):
                second.put(key, ROW)
            assert theirs.take(4) is None
        assert not list(second._db.execute("SELECT * FROM claims"))
        first.close()
        assert list(second._db.execute("SELECT id FROM owners")) == [(second.presence.owner.name,)]


CLAIMER = """
import os, signal, sys
from pathlib import Path
from simulator.study.store import Claims, Store
with Store(Path(sys.argv[1])) as store, Claims(store, {f"k{i}": i for i in range(4)}) as claims:
    print(claims.take(3), flush=True)
    os.kill(os.getpid(), getattr(signal, sys.argv[2]))
"""


def test_what_a_killed_run_claimed_is_taken_over_at_once(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CLAIMER, str(tmp_path), "SIGKILL"], capture_output=True, text=True, cwd=ROOT
    )
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, "[0, 1, 2]\n")
    with Store(tmp_path) as store, Claims(store, items(4)) as claims:
        assert claims.take(9) == [0, 1, 2, 3]


def test_a_stopped_run_is_taken_over_after_a_while(tmp_path, monkeypatch):
    command = [sys.executable, "-c", CLAIMER, str(tmp_path), "SIGSTOP"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        process.stdout.readline()
        time.sleep(0.3)
        with Store(tmp_path) as store, Claims(store, items(4)) as claims:
            assert claims.take(9) == [3]
            assert claims.take(9) == []
            monkeypatch.setattr(owners, "EXPIRY_S", 0.1)
            assert claims.take(9) == [0, 1, 2]
        process.kill()


def test_owners_of_other_machines_live_by_their_signs_of_life(monkeypatch):
    here = owners.this_process()
    away = owners.Owner("elsewhere", here.pid, here.started)
    reused = owners.Owner(here.host, here.pid, "1")
    now = time.time()
    assert not owners.is_gone(here, 0.0)
    assert not owners.is_gone(away, now)
    assert owners.is_gone(away, now - owners.EXPIRY_S - 1)
    if here.started:
        assert owners.is_gone(reused, now)


def test_points_to_be_run_again_are_handed_out_although_stored(tmp_path):
    with Store(tmp_path) as store:
        store.put("k0", ROW)
        store.put("k1", ROW)
        with Claims(store, items(2), again={"k1"}) as claims:
            store.put("k1", ROW)
            assert claims.take(5) is None
        with Claims(store, items(2), again={"k1"}) as claims:
            assert claims.take(5) == [1]


def test_a_store_made_in_vain_goes_again(tmp_path):
    with Store(tmp_path / "a" / "run") as store, Claims(store, items(2)) as claims:
        assert claims.take(1) == [0]
        assert store.path.exists()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").mkdir()
    with Store(tmp_path / "kept") as store, Store(tmp_path / "kept") as other:
        store.save({})
        other.put("a", ROW)
        store.close()
        assert other.get("a").row == ROW
    with Store(tmp_path / "kept") as store:
        assert store.keys() == ["a"]


def test_many_who_open_and_leave_an_empty_store_lose_nothing_to_each_other(tmp_path):
    """Removal of an empty store against someone who has just opened it."""

    def visit(number):
        for i in range(20):
            with Store(tmp_path / "run") as store, Claims(store, {f"{number}-{i}": i}) as claims:
                claims.take(1)
                if i % 4 == 3:
                    store.put(f"{number}-{i}", ROW)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(visit, range(4)))
    with Store(tmp_path / "run") as store:
        assert sorted(store.keys()) == sorted(f"{number}-{i}" for number in range(4) for i in range(3, 20, 4))
