"""Programs that the tests run as they are: etcd, kube-apiserver, kubectl, helm.

Looked for in the folder `KUBEBUILDER_ASSETS`, on the `PATH`, among what `setup-envtest` has installed, and in the
user's cache; what is nowhere is built there, once, from the Go modules beside this file, whose checksums are pinned.
"""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
PACKAGES: Final = {
    "etcd": ("etcd", "."),
    "kube-apiserver": ("kubernetes", "k8s.io/kubernetes/cmd/kube-apiserver"),
    "kubectl": ("kubernetes", "k8s.io/kubernetes/cmd/kubectl"),
    "helm": ("helm", "helm.sh/helm/v4/cmd/helm"),
}
"""The module that pins each program, and its package there."""
ENVTEST: Final = frozenset({"etcd", "kube-apiserver", "kubectl"})
KUBERNETES_MINOR: Final = "1.36"


@cache
def program(name: str) -> Path:
    """The executable. Raises `FileNotFoundError` that says how to get it."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    for found in (
        shutil.which(name, path=assets) if assets else None,
        shutil.which(name),
        shutil.which(name, path=_envtest()) if name in ENVTEST else None,
        shutil.which(name, path=str(_cache())),
    ):
        if found is not None:
            return Path(found)
    return _built(name)


def _cache() -> Path:
    """The user's folder for what was built; it depends on what the modules pin."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "tidegate" / "programs" / KUBERNETES_MINOR


def _envtest() -> str:
    """The folder that `setup-envtest` has filled; empty without one."""
    tool = shutil.which("setup-envtest")
    if tool is None:
        return ""
    command = [tool, "use", "--installed-only", "--print", "path", f"{KUBERNETES_MINOR}.x"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout.strip()


def _built(name: str) -> Path:
    """Build one program with Go; this takes minutes and happens once."""
    go = shutil.which("go")
    if go is None:
        raise FileNotFoundError(
            f"{name} is needed by these tests and is neither in KUBEBUILDER_ASSETS nor on the PATH, and Go is not "
            "installed to build it: install Go 1.26, or let KUBEBUILDER_ASSETS name a folder that has it"
        )
    module, package = PACKAGES[name]
    target = _cache() / name
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"building {name} (once, a few minutes)", flush=True)
    unfinished = target.with_name(f".{name}.{os.getpid()}")
    flags = "-s -w"
    if module == "kubernetes":  # the API server derives from it which features it has
        flags += f" -X k8s.io/component-base/version.gitVersion=v{KUBERNETES_MINOR}.3"
    subprocess.run(
        [go, "build", "-trimpath", "-ldflags", flags, "-o", str(unfinished), package],
        cwd=HERE / module,
        env=os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false -mod=readonly"},
        check=True,
        timeout=1800,
    )
    unfinished.rename(target)
    return target
