"""The report of an evaluation: tables in :mod:`tables`, the page in :mod:`page`, files in :mod:`write`. No torch."""
