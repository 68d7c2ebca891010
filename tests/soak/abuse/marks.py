"""Random words put into requests, which tell by where they turn up whether something was let out."""

import re
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True)
class Marks:
    """The words of one run: a secret may turn up nowhere, a path in the log, a name in the database and its answer."""

    run: str

    def secret(self, rng: Random) -> str:
        """For passwords, tokens, bodies, queries, cookies, the values of headers."""
        return f"hush{self.run}{rng.getrandbits(40):010x}"

    def path(self, rng: Random) -> str:
        """For paths, which the log shows."""
        return f"way{self.run}{rng.getrandbits(40):010x}"

    def name(self, rng: Random) -> str:
        """For usernames and emails, which are kept and shown once they are accepted."""
        return f"who{self.run}{rng.getrandbits(40):010x}"

    def in_answer(self, data: bytes, status: int) -> list[str]:
        """What an answer must not hold."""
        return self._found(data, "hush|way" if 200 <= status < 300 else "hush|way|who")

    def in_log(self, data: bytes) -> list[str]:
        """What the log must not hold."""
        return self._found(data, "hush|who")

    def in_database(self, data: bytes) -> list[str]:
        """What the files of the database must not hold."""
        return self._found(data, "hush|way")

    def _found(self, data: bytes, kinds: str) -> list[str]:
        pattern = f"(?:{kinds}){self.run}[0-9a-f]*".encode()
        return [found.decode() for found in re.findall(pattern, data.lower())]
