"""Charter: a spec-first account and token API."""

import warnings

# Connexion always imports Starlette's test client, which emits a deprecation warning.
warnings.filterwarnings("ignore", message="Using `httpx` with `starlette.testclient` is deprecated")
