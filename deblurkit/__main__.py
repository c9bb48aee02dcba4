"""``python -m deblurkit``: the same as the command ``deblurkit``."""

from deblurkit.cli import main

if __name__ == "__main__":
    main()
