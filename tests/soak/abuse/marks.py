"""Random words in requests. The place where such a word reappears shows whether the server leaked it."""

import re
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Marks:
    """The words of one run. Secrets may appear nowhere, paths in the log, names in the database and its responses."""

    run: str

    def secret(self, rng: Random) -> str:
        """Return a word for passwords, tokens, bodies, queries, cookies and header values."""
        return f"hush{self.run}{rng.getrandbits(40):010x}"

    def path(self, rng: Random) -> str:
        """Return a word for paths, which the log shows."""
        return f"way{self.run}{rng.getrandbits(40):010x}"

    def name(self, rng: Random) -> str:
        """Return a word for usernames and emails, which are stored and shown after a sign-up."""
        return f"who{self.run}{rng.getrandbits(40):010x}"

    def in_response(self, data: bytes, status: int) -> list[str]:
        """Return the words that a response must not contain."""
        return self._found(data, "hush|way" if 200 <= status < 300 else "hush|way|who")

    def in_log(self, data: bytes) -> list[str]:
        """Return the words that the log must not contain."""
        return self._found(data, "hush|who")

    def in_database(self, data: bytes) -> list[str]:
        """Return the words that the files of the database must not contain."""
        return self._found(data, "hush|way")

    def _found(self, data: bytes, kinds: str) -> list[str]:
        pattern = f"(?:{kinds}){self.run}[0-9a-f]*".encode()
        return [found.decode() for found in re.findall(pattern, data.lower())]
