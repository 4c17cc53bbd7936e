"""The table of mutants fits today's code; the mutants themselves are run by `python tests/mutants/run.py`."""

from mutants.run import broken_rows, load_mutants


def test_every_row_fits_the_code():
    mutants = load_mutants()
    assert broken_rows(mutants) == []
    assert len(mutants) >= 200
    kernels = [mutant for mutant in mutants if not mutant.compiled]
    assert len(kernels) >= 80
