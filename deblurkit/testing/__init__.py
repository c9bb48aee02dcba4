"""The contracts of components as tests, for deblurkit's own components and for those of plugins.

One line in a plugin's test file is enough::

    from deblurkit.testing import contract_tests

    test_contracts = contract_tests("my_blur")

It makes one test of each component that the plugin registers and each check of its kind. pytest must be installed.
"""

from deblurkit.testing.component import Traits
from deblurkit.testing.contracts import BrokenContractError, contract_tests

__all__ = ["BrokenContractError", "Traits", "contract_tests"]
