"""Every byte of a bundle counts; what was computed before saves time, and nobody else can make it lie."""

import hashlib
import json
import os
import stat
import time
from pathlib import Path

import pytest

from helpers.handmade_bundle import make_bundle
from ofa_bert import __main__ as program
from ofa_bert.bundle import digest_cache, digests
from ofa_bert.bundle.manifest import open_bundle
from ofa_bert.errors import UserError
from ofa_bert.tasks.task import Task


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A cache of this test's own, which remembers files however new they are."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(digest_cache, "SETTLED_NS", -(10**9))
    return tmp_path / "cache" / "ofa_bert"


@pytest.fixture
def computed(monkeypatch):
    names, real = [], digests.file_sha256
    monkeypatch.setattr(digests, "file_sha256", lambda path: names.append(path.name) or real(path))
    return names


@pytest.fixture
def bundle(tmp_path):
    return make_bundle(tmp_path / "b")


def test_a_changed_byte_anywhere_is_one_line(bundle):
    open_bundle(bundle)
    for path in sorted(bundle.iterdir()):
        whole = path.read_bytes()
        for place in (0, len(whole) // 2, len(whole) - 1):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            with pytest.raises(UserError, match=f"^{path}: ") as error:
                open_bundle(bundle)
            assert error.value.exit_code == 2
            assert str(error.value).isprintable()
        path.write_bytes(whole)
    open_bundle(bundle)


def test_the_command_says_which_file_was_changed(bundle, tmp_path, capsys):
    (bundle / "model.onnx").write_bytes((bundle / "model.onnx").read_bytes()[:-1] + b"\0")
    (tmp_path / "in.tsv").write_text("text\ngood\n")
    line = f"predict --bundle {bundle} --input {tmp_path / 'in.tsv'} --output {tmp_path / 'out.tsv'}"
    assert program.main(line.split()) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"{bundle / 'model.onnx'}: is not the file that was exported (SHA-256 " in last
    assert "copy the whole bundle again" in last


def test_what_has_not_changed_is_not_read_again(bundle, computed, home):
    open_bundle(bundle)
    assert sorted(computed) == ["model.onnx", "tokenizer.json"]
    open_bundle(bundle)
    assert len(computed) == 2
    path = bundle / "model.onnx"
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    open_bundle(bundle)
    assert computed[2:] == ["model.onnx"]
    kept = home / "digests.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert list(home.iterdir()) == [kept]  # nothing is left beside it


def test_a_change_that_keeps_size_and_time_is_found_out(bundle):
    open_bundle(bundle)
    path = bundle / "model.onnx"
    before, whole = path.stat(), path.read_bytes()
    time.sleep(0.02)  # the clock of a file system is coarse
    with open(path, "r+b") as file:
        file.write(bytes([whole[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    with pytest.raises(UserError, match="model.onnx: is not the file that was exported"):
        open_bundle(bundle)


def test_what_changed_moments_ago_is_not_remembered(bundle, computed, monkeypatch):
    monkeypatch.setattr(digest_cache, "SETTLED_NS", 3600 * 10**9)
    open_bundle(bundle)
    open_bundle(bundle)
    assert len(computed) == 4


def test_what_changes_while_it_is_read_is_not_remembered(bundle, monkeypatch, home):
    real = digests.file_sha256

    def slow(path):
        found = real(path)
        os.utime(path)
        return found

    monkeypatch.setattr(digests, "file_sha256", slow)
    open_bundle(bundle)
    assert not (home / "digests.json").exists()


def poisoned(home, bundle):
    """A cache that says of a changed file that it is as it was exported."""
    open_bundle(bundle)
    path = bundle / "model.onnx"
    right = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(bytes(path.stat().st_size))
    entry = [*digest_cache.stamp_of(path.stat()), right]
    (home / "digests.json").write_text(json.dumps({"format": 1, "files": {os.path.realpath(path): entry}}))
    (home / "digests.json").chmod(0o600)
    return path


def refused(bundle):
    with pytest.raises(UserError, match="model.onnx: is not the file that was exported"):
        open_bundle(bundle)


def test_the_poison_would_work(bundle, home):
    poisoned(home, bundle)
    open_bundle(bundle)  # so the tests below show that it is not read there


def test_a_cache_that_others_may_write_is_not_believed(bundle, home):
    poisoned(home, bundle)
    (home / "digests.json").chmod(0o620)
    refused(bundle)


@pytest.mark.parametrize("what", ["digests.json", "."])
def test_a_cache_of_another_user_is_not_believed(bundle, home, monkeypatch, what):
    poisoned(home, bundle)
    if os.geteuid() == 0:
        os.chown(home / what, 12345, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
    refused(bundle)


def test_a_link_is_not_followed_and_is_replaced(bundle, home, tmp_path):
    poisoned(home, bundle)
    elsewhere = tmp_path / "elsewhere.json"
    (home / "digests.json").rename(elsewhere)
    (home / "digests.json").symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    refused(bundle)
    open_bundle(make_bundle(tmp_path / "other"))
    assert not (home / "digests.json").is_symlink()
    assert elsewhere.read_bytes() == before


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 1, "files": []}', b'{"format": 9, "files": {}}', b"\xff" * 9,
     b'{"format": 1, "files": {"a": 3, "b": [], "c": [1, 2]}}', b"[" * 100_000, b" " * (2 << 20)],
)  # fmt: skip
def test_a_damaged_cache_only_costs_time(bundle, home, computed, damage):
    home.mkdir(parents=True)
    (home / "digests.json").write_bytes(damage)
    for _ in range(2):
        open_bundle(bundle)
    assert len(computed) == 2  # and it was mended


def test_entries_of_another_kind_are_passed_over(bundle, home, computed):
    home.mkdir(parents=True)
    path = os.path.realpath(bundle / "model.onnx")
    stamp = digest_cache.stamp_of(os.stat(path))
    for entry in ([*stamp, 7], [*stamp], [None], [*stamp, None], "text"):
        (home / "digests.json").write_text(json.dumps({"format": 1, "files": {path: entry}}))
        open_bundle(bundle)
    assert computed.count("model.onnx") == 5


@pytest.mark.parametrize("make", ["file", "directory", "pipe", "nowhere"])
def test_a_place_that_cannot_be_written_only_costs_time(bundle, home, monkeypatch, make, caplog):
    home.parent.mkdir()
    if make == "file":
        home.write_text("")
    elif make == "nowhere":
        monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    else:
        home.mkdir()
        (home / "digests.json").mkdir() if make == "directory" else os.mkfifo(home / "digests.json")
    for _ in range(2):
        open_bundle(bundle)
    assert caplog.messages == []


@pytest.mark.parametrize("value", ["", "relative/place"])
def test_without_a_usable_xdg_cache_home_it_lies_in_the_home_directory(bundle, tmp_path, monkeypatch, value):
    monkeypatch.setenv("XDG_CACHE_HOME", value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    open_bundle(bundle)
    assert (tmp_path / ".cache" / "ofa_bert" / "digests.json").is_file()
    assert not Path("relative").exists()


def test_it_does_not_grow_without_end(tmp_path, home, monkeypatch):
    monkeypatch.setattr(digest_cache, "_MOST_FILES", 3)
    for name in "abc":
        open_bundle(make_bundle(tmp_path / name))
    kept = list(json.loads((home / "digests.json").read_text())["files"])
    assert len(kept) == 3
    assert kept[-1] == str(tmp_path / "c" / "tokenizer.json")


def test_a_bundle_of_links_is_checked_where_they_lead(bundle, tmp_path, computed):
    linked = tmp_path / "linked"
    linked.mkdir()
    for path in bundle.iterdir():
        (linked / path.name).symlink_to(path)
    open_bundle(bundle)
    open_bundle(linked)
    assert len(computed) == 2


def of_before(bundle):
    value = json.loads((bundle / "manifest.json").read_text())
    value.update(format=2, files={name: entry["bytes"] for name, entry in value["files"].items()})
    del value["sha256"]
    (bundle / "manifest.json").write_text(json.dumps(value))
    return value


def test_add_digests(bundle, capsys):
    before = of_before(bundle)
    assert program.main(["add_digests", "--bundle", str(bundle)]) == 0
    assert "2 digests added, the manifest has format 3" in capsys.readouterr().out
    manifest = open_bundle(bundle).manifest
    assert manifest.has_digests
    after = manifest.to_json()
    assert {name: entry["bytes"] for name, entry in after["files"].items()} == before["files"]
    assert manifest.task == Task.from_json(before["task"])
    assert {name: after[name] for name in ("labels", "models", "pad_token_id")} == {
        name: before[name] if name != "models" else [{"fused": False, **model} for model in before[name]]
        for name in ("labels", "models", "pad_token_id")
    }
    assert program.main(["add_digests", "--bundle", str(bundle)]) == 0
    assert "has digests; 2 files are as they were exported" in capsys.readouterr().out
    (bundle / "model.onnx").write_bytes(bytes((bundle / "model.onnx").stat().st_size))
    assert program.main(["add_digests", "--bundle", str(bundle)]) == 2
    assert "is not the file that was exported" in capsys.readouterr().err


def test_add_digests_refuses_what_is_not_whole(bundle, tmp_path, capsys):
    of_before(bundle)
    whole = (bundle / "manifest.json").read_bytes()
    (bundle / "model.onnx").write_bytes(b"short")
    assert program.main(["add_digests", "--bundle", str(bundle)]) == 2
    assert "model.onnx: has 5 bytes" in capsys.readouterr().err
    assert (bundle / "manifest.json").read_bytes() == whole
    assert program.main(["add_digests", "--bundle", str(tmp_path / "nothing")]) == 2
    assert "no bundle" in capsys.readouterr().err
    assert not (tmp_path / "nothing").exists()
