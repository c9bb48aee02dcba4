"""``deblurkit measure`` from a checkout."""

from deblurkit import cli

if __name__ == "__main__":
    cli.run_tool("measure")
