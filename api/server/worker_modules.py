"""The modules of a worker. The fork server imports them once, so all workers share this memory and start fast."""

import gc
import importlib
from contextlib import suppress

from api.server import connexion_import

# A worker imports again what fails here, and logs the reason.
with suppress(Exception):
    connexion_import.import_connexion()
    for name in ("api.app", "api.server.protocol", "uvicorn.lifespan.on", "uvloop"):
        importlib.import_module(name)

# A collection in a worker would copy the pages of these objects.
gc.collect()
gc.freeze()
