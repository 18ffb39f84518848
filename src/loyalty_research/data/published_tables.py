"""Published tables on which effects are known: a randomised incentive, a cohort of smokers."""

from __future__ import annotations

import pandas as pd

from loyalty_research.data.arguments import suggest
from loyalty_research.errors import UsageError

TABLES = ("thornton_hiv", "nhefs")


def load_published_table(name: str) -> pd.DataFrame:
    """Return a published table, its numbers wide enough to be squared.

    - `thornton_hiv`: 4,820 people in Malawi, tested for HIV and offered by lot a sum of money, or
      none, if they came back for the result. `any` is 1 with an offer, `got` 1 if they came,
      `villnum` the village, `distvct` the distance to the centre (Thornton, American Economic
      Review 2008;98:1829).
    - `nhefs`: 1,629 smokers of the NHANES I follow-up study. `qsmk` is 1 for those who stopped,
      `wt82_71` the weight gained in 11 years in kg, missing for 63 (Hernan and Robins, Causal
      Inference: What If, 2020, chapter 12).

    Args:
        name: `thornton_hiv` or `nhefs`.

    Returns:
        One row a person. Both tables come with the package causaldata (extra `examples`).

    Raises:
        UsageError: There is no such table, or the extra is not installed.

    Examples:
        >>> load_published_table("nhefs")["qsmk"].value_counts().tolist()
        [1201, 428]
    """
    if name not in TABLES:
        known = ", ".join(TABLES)
        raise UsageError(
            f'"{name}" is no published table{suggest(name, TABLES)} (there are: {known})'
        )
    try:
        import causaldata
    except ImportError:
        message = f'"{name}" needs causaldata; install loyalty-research with the extra "examples"'
        raise UsageError(message) from None
    table = getattr(causaldata, name).load_pandas().data
    # One byte a number, as the file has it, overflows when squared.
    numbers = table.select_dtypes("number").columns
    whole = [c for c in numbers if pd.api.types.is_integer_dtype(table[c])]
    wide = dict.fromkeys(numbers, "float64") | dict.fromkeys(whole, "int64")
    return table.astype(wide).reset_index(drop=True)
