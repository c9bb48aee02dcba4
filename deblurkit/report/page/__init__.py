"""The report's page: one HTML file. Texts in :mod:`figures` and its neighbours, layout in ``*.html.j2``."""
