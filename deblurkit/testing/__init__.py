"""The contracts of components as tests, for deblurkit's own components and for those of plugins.

One line in a plugin's test file is enough::

    from deblurkit.testing import contract_tests

    test_contracts = contract_tests("my_blur")

It makes one test of each component that the plugin registers and each check of its kind. pytest must be installed.
"""

from deblurkit.testing.component import Component, Traits
from deblurkit.testing.contracts import BrokenContractError, Check, checks_of, components_of, contract_tests, hold

__all__ = [
    "BrokenContractError",
    "Check",
    "Component",
    "Traits",
    "checks_of",
    "components_of",
    "contract_tests",
    "hold",
]
