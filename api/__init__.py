"""Charter: accounts and tokens, spec-first."""

import warnings

# Connexion imports Starlette's test client wherever it runs, and that one speaks of its own future.
warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient` is deprecated")
