"""Models that are signed, not signed, signed by others, and changed since."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from model_signing import hashing, signing

from serving.artifacts import obtain, require_code
from serving.errors import BadArtifactSettings, BadSignature, CodeRefused
from serving.spec import ModelSource


@pytest.fixture
def keys(tmp_path):
    """A folder of public keys, one of them `team`'s."""
    folder = tmp_path / "keys"
    folder.mkdir()
    for name in ("someone", "team"):
        key = ec.generate_private_key(ec.SECP256R1())
        (tmp_path / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.pem").write_bytes(public)
    return folder


@pytest.fixture
def sign(tmp_path, keys):
    def sign(model, signature, key="team"):
        config = signing.Config().use_elliptic_key_signer(private_key=tmp_path / f"{key}.key")
        ignored = [signature] if model.is_dir() else []
        config.set_hashing_config(hashing.Config().set_ignored_paths(paths=ignored)).sign(model, signature)

    return sign


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "models" / "iris.joblib"
    path.parent.mkdir()
    path.write_bytes(b"a pickle")
    return path


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "models" / "iris"
    (path / "data").mkdir(parents=True)
    (path / "MLmodel").write_text("flavors")
    (path / "data" / "model.pkl").write_bytes(b"a pickle")
    return path


@pytest.fixture
def take(tmp_path, keys):
    def take(path, sha256=None, signed="always", **told):
        environ = {"TIDEGATE_ARTIFACT_KEYS": str(keys), "TIDEGATE_ARTIFACT_SIGNED": signed, **told}
        return obtain(ModelSource(path.as_uri(), "sklearn", sha256), tmp_path / "cache", environ)

    return take


def test_a_file_with_its_signature_beside_it_is_vouched_for(file, sign, take):
    sign(file, file.with_name("iris.joblib.sig"))
    artifact = take(file, signed="never")
    assert artifact.source.sha256 == artifact.path.parent.name
    require_code(artifact.source, "iris.joblib, a pickle,", {"TIDEGATE_ARTIFACT_CODE": "verified"})


def test_a_folder_may_have_its_signature_within_or_beside_it(folder, sign, take):
    sign(folder, folder / "model.sig")
    assert take(folder).source.sha256 is not None
    (folder / "model.sig").unlink()
    sign(folder, folder.with_name("iris.sig"))
    assert take(folder).source.sha256 is not None


def test_a_model_without_a_signature_is_refused_where_one_is_required(file, take):
    with pytest.raises(BadSignature, match=r"iris\.joblib: it is not signed, and TIDEGATE_ARTIFACT_SIGNED is always"):
        take(file)


def test_a_sha256_does_not_stand_in_for_a_required_signature(file, take):
    sha256 = take(file, signed="never").path.parent.name
    with pytest.raises(BadSignature, match="it is not signed"):
        take(file, sha256)


def test_where_signatures_are_not_required_a_model_without_one_runs_no_code(file, take):
    artifact = take(file, signed="never")
    assert artifact.source.sha256 is None
    with pytest.raises(CodeRefused, match="nobody vouches for it"):
        require_code(artifact.source, "iris.joblib, a pickle,", {})


def test_a_model_that_was_changed_after_it_was_signed_is_refused(file, folder, sign, take):
    sign(file, file.with_name("iris.joblib.sig"))
    file.write_bytes(b"another pickle")
    with pytest.raises(BadSignature, match=r"none of the keys vouches for iris\.joblib: .*team: Signature mismatch"):
        take(file, signed="never")


@pytest.mark.parametrize("name", ["extra.py", "data/extra.pkl", ".git/hook.py"])
def test_a_file_that_was_added_to_a_signed_folder_is_found(folder, sign, take, name):
    sign(folder, folder / "model.sig")
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("evil")
    with pytest.raises(BadSignature):
        take(folder)


def test_the_signature_of_somebody_else_is_refused(file, sign, take, keys):
    sign(file, file.with_name("iris.joblib.sig"), "someone")
    assert take(file).source.sha256 is not None
    (keys / "someone.pem").unlink()
    with pytest.raises(BadSignature, match="none of the keys vouches"):
        take(file)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\x00", b"[" * 10_000])
def test_what_is_no_signature_is_refused(file, take, content):
    file.with_name("iris.joblib.sig").write_bytes(content)
    with pytest.raises(BadSignature, match="none of the keys vouches"):
        take(file)


def test_a_folder_without_keys_is_a_mistake_that_is_named(file, sign, take, keys):
    sign(file, file.with_name("iris.joblib.sig"))
    for key in keys.iterdir():
        key.unlink()
    with pytest.raises(BadArtifactSettings, match=r"there is no public key \*\.pem in"):
        take(file)
    with pytest.raises(BadArtifactSettings, match="names no folder with public keys"):
        take(file, TIDEGATE_ARTIFACT_KEYS="")
