"""What the runtimes of other people's code share: importing it from an artifact, and keeping the artifact as it is."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

from serving.errors import UnloadableModel


def keep_folder_clean() -> None:
    """Write no bytecode beside what is imported: the artifact's folder is verified by its content."""
    sys.dont_write_bytecode = True


def import_from(folder: Path, name: str) -> ModuleType:
    """Import a module that lies in `folder` or is installed; `folder` stays on this process's path for later imports.

    Raises `UnloadableModel`, with what the module raised.
    """
    keep_folder_clean()
    top = name.partition(".")[0]
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    loaded = sys.modules.get(top)
    inside = (folder / top).is_dir() or (folder / f"{top}.py").is_file()
    if loaded is not None and inside and not _lies_in(loaded, folder):
        raise UnloadableModel(f"{top} in {folder.name} has the name of a module that is in use here: rename it")
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UnloadableModel(
                f"there is no module {error.name} in {folder.name}, nor is one installed: add its package to "
                "spec.serving.pip, or its file to the folder"
            ) from error
        raise UnloadableModel(f"{name} needs the module {error.name}: add its package to spec.serving.pip") from error
    except BaseException as error:
        raise UnloadableModel(f"importing {name} raised {type(error).__name__}: {error}") from error


def _lies_in(module: ModuleType, folder: Path) -> bool:
    places = [module.__file__] if module.__file__ else list(getattr(module, "__path__", ()))
    return any(Path(place).is_relative_to(folder) for place in places)
