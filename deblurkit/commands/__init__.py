"""The commands of ``deblurkit``, one module each; ``tools/`` runs the same code from a checkout.

A command is a module whose docstring describes it (its first line is the summary in ``deblurkit --help``), with

* ``EXAMPLE``: one command line, shown at the end of its help;
* ``configure(parser)``: adds its arguments, and imports nothing heavy;
* ``run(args)``: does the work and returns the exit code, where that is not 0.

:data:`deblurkit.cli.GROUPS` lists them.
"""
