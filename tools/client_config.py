"""Print the configuration of openapi-python-client for a contract: `python -m tools.client_config openapi.json`.

The generator accepts no files but those of the type `application/octet-stream`. The configuration lets it treat the
others alike. The generated client still sends the media type of the contract.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from api.contract.document.load import load_file
from api.contract.document.model import Contract
from api.contract.document.operation import object_of, resolve
from api.contract.schema.media_types import is_range


def main(path: str) -> None:
    """Print the configuration for a file with an OpenAPI document."""
    contract, _ = load_file(Path(path))
    overrides = dict.fromkeys(_file_types(contract), "application/octet-stream")
    print(json.dumps({"content_type_overrides": overrides}))


def _file_types(contract: Contract) -> Iterator[str]:
    """Yield the media type of each body that is a file. Ranges are left out: a client must send one media type."""
    for pointer, kind, node in contract.parts:
        schema = resolve(object_of(node.get("schema", {})), contract.document) if kind == "MediaType" else {}
        if schema.get("format") == "binary" and not is_range(str(pointer[-1])):
            yield str(pointer[-1])


if __name__ == "__main__":
    main(*sys.argv[1:])
