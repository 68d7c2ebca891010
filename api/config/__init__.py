"""Settings. Only this package reads the environment."""

from api.config.settings import SECRETS, Config, ConfigError, find_warnings, load, load_existing, read, variable

__all__ = ["SECRETS", "Config", "ConfigError", "find_warnings", "load", "load_existing", "read", "variable"]
