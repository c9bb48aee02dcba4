"""The report of an evaluation: scores in :mod:`scores`, tables in :mod:`tables`, files in :mod:`write`. No torch."""
