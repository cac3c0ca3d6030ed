"""Model files are found, verified before use, and kept under their content."""

import hashlib
import os
import subprocess

import pytest

from serving.artifacts import digest, obtain
from serving.errors import ArtifactMismatch, ArtifactNotFound
from serving.spec import ModelSource


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.joblib"
    path.write_bytes(b"first")
    return path


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "model"
    (path / "sub").mkdir(parents=True)
    (path / "model.pkl").write_bytes(b"one")
    (path / "sub" / "notes.txt").write_bytes(b"two")
    return path


def source(path, sha256=None):
    return ModelSource(path.as_uri(), "sklearn", sha256)


def test_a_files_digest_is_what_sha256sum_prints(file):
    assert digest(file) == hashlib.sha256(b"first").hexdigest()


def test_a_folders_digest_is_what_its_documented_shell_line_prints(folder):
    line = r"find . -type f -printf '%P\n' | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum"
    shell = subprocess.run(["bash", "-c", line], cwd=folder, capture_output=True, text=True, check=True)
    assert digest(folder) == shell.stdout.split()[0]


def test_a_line_break_in_a_path_does_not_make_one_file_look_like_two(folder, tmp_path):
    other = tmp_path / "other"
    name = f"model.pkl\n{hashlib.sha256(b'two').hexdigest()}  sub/notes.txt"
    (other / name).parent.mkdir(parents=True)
    (other / name).write_bytes(b"one")
    assert digest(other) != digest(folder)


def test_an_unusual_path_is_written_as_sha256sum_writes_it(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a\\b").write_bytes(b"one")
    shell = subprocess.run(["sha256sum", "a\\b"], cwd=folder, capture_output=True, check=True)
    assert digest(folder) == hashlib.sha256(shell.stdout).hexdigest()


def test_a_copy_in_the_cache_is_used_not_the_source(file, cache):
    kept = obtain(source(file), cache).path
    file.write_bytes(b"second")
    assert kept.read_bytes() == b"first"
    assert kept.is_relative_to(cache)
    assert kept.name == file.name


def test_a_folder_is_kept_whole(folder, cache):
    kept = obtain(source(folder, digest(folder)), cache).path
    assert (kept / "sub" / "notes.txt").read_bytes() == b"two"


def test_what_was_promised_comes_from_the_cache_when_the_source_is_gone(file, cache):
    promised = source(file, digest(file).upper())
    kept = obtain(promised, cache).path
    file.unlink()
    assert obtain(promised, cache).path == kept


def test_the_same_content_is_kept_once(file, cache):
    assert obtain(source(file), cache).path == obtain(source(file), cache).path
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("promised", [True, False])
def test_the_same_content_by_a_name_with_another_suffix_is_kept_by_both(file, cache, promised):
    first = obtain(source(file), cache)
    other = file.rename(file.with_suffix(".pkl"))
    artifact = obtain(source(other, first.sha256 if promised else None), cache)
    assert artifact.path.name == "model.pkl"
    assert artifact.path.read_bytes() == b"first"
    assert artifact.sha256 == first.sha256
    assert first.path.is_file()


def test_other_bytes_than_promised_are_refused_and_not_kept(file, cache):
    with pytest.raises(ArtifactMismatch, match=digest(file)):
        obtain(source(file, "0" * 64), cache)
    assert [path for path in cache.iterdir() if path.is_dir()] == []


def test_a_damaged_cache_entry_is_replaced_from_the_source(file, cache):
    promised = source(file, digest(file))
    obtain(promised, cache).path.write_bytes(b"rotten")
    assert obtain(promised, cache).path.read_bytes() == b"first"


@pytest.mark.parametrize("sha256", ["../../../etc", "abc", "g" * 64, "a" * 63 + "/"])
def test_a_sha256_that_is_none_cannot_lead_out_of_the_cache(file, cache, sha256):
    with pytest.raises(ArtifactMismatch, match="64 hex digits"):
        obtain(source(file, sha256), cache)


def test_a_path_with_nothing_at_it_is_named(tmp_path, cache):
    with pytest.raises(ArtifactNotFound, match=r"nothing at .*missing"):
        obtain(source(tmp_path / "missing"), cache)


def test_a_path_with_a_nul_byte_is_refused(cache):
    with pytest.raises(ArtifactNotFound):
        obtain(ModelSource("file:///models/%00", "sklearn"), cache)


def test_a_link_out_of_the_folder_is_refused(folder, cache, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ArtifactNotFound, match="leads out of"):
        obtain(source(folder), cache)


def test_a_folder_that_the_cache_lies_in_is_refused(folder):
    with pytest.raises(ArtifactNotFound, match="the cache for models lies within it"):
        obtain(source(folder), folder / "cache")


def test_a_pipe_is_no_model(tmp_path, cache):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ArtifactNotFound, match="neither a regular file nor a folder"):
        obtain(source(tmp_path / "pipe"), cache)


def test_a_cache_that_cannot_be_written_is_named(file, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder should be")
    with pytest.raises(ArtifactNotFound, match="blocked"):
        obtain(source(file), blocked / "cache")
