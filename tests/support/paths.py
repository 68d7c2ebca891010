"""The paths of the checkout, and of the programs installed beside the Python that runs the tests."""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
