"""Where the tests find things: the checkout, and the programs installed beside the Python that runs them."""

import sys
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent
