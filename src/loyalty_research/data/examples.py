"""The example studies: a bundled simulated one, and a cohort of real patients."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from loyalty_research.data.arguments import suggest
from loyalty_research.data.nafld import nafld_study
from loyalty_research.data.project import project_file
from loyalty_research.data.service_change import simulate_service_change
from loyalty_research.data.simulate import SimulatedStudy, simulate_study
from loyalty_research.data.study import Study, open_study
from loyalty_research.data.write import TablesInHand, write_study
from loyalty_research.errors import UsageError

BUNDLED = {"simulated": "data/example", "service_change": "data/service_change"}
BUNDLED_SEED = 2021
BUNDLED_PATIENTS = 8000


def simulate_bundled_study() -> SimulatedStudy:
    """Return the study that is kept in `data/example`, drawn again from its seed.

    `loyalty data simulate --seed 2021 --patients 8000 --out DIR` writes the same folder.

    Returns:
        The same values, whatever the versions of the libraries that draw it.

    Examples:
        >>> len(simulate_bundled_study().tables["patients"])
        8000
    """
    return simulate_study(seed=BUNDLED_SEED, n_patients=BUNDLED_PATIENTS)


def load_example(name: str) -> Study:
    """Return an example study, ready to use.

    Args:
        name: `simulated`, the bundled study with known truth; `service_change`, the bundled waits
            of three clinics, one of which changes; or `nafld`, real patients (needs the extra
            `examples`; read `loyalty_research.data.nafld` for what its columns mean).

    Returns:
        The validated study.

    Raises:
        UsageError: There is no such example, or the extra is not installed.

    Examples:
        >>> with load_example("simulated") as study:
        ...     study.settings.simulated, study.patients.shape[0]
        (True, 8000)
    """
    make = _maker(name)
    if name in BUNDLED:
        return open_study(project_file(BUNDLED[name]))
    study = make()
    return open_study(study.tables, mapping=study.settings)


def write_example(name: str, out: str | Path, *, format: str = "parquet") -> Path:
    """Write an example study as a folder that `open_study` opens.

    Args:
        name: As in `load_example`.
        out: The folder to make; it may exist when it is empty.
        format: `parquet` or `csv`.

    Returns:
        The folder.

    Raises:
        UsageError: There is no such example, the extra is not installed, the format is unknown, or
            the folder exists and holds something.
        SetupError: The folder cannot be written.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     (write_example("simulated", f"{folder}/example") / "truth.json").is_file()
        True
    """
    return write_study(_maker(name)(), out, format=format)


_MAKERS: dict[str, Callable[[], TablesInHand]] = {
    "simulated": simulate_bundled_study,
    "service_change": simulate_service_change,
    "nafld": nafld_study,
}


def _maker(name: str) -> Callable[[], TablesInHand]:
    if name not in _MAKERS:
        known = ", ".join(_MAKERS)
        raise UsageError(f'"{name}" is not an example{suggest(name, _MAKERS)} (there are: {known})')
    return _MAKERS[name]
