"""Many selections of the same statistics, without a process each.

The way of a setting: file or `-S` -> overrides (settings) -> one selection (run), as `stages.select` would make it.
"""

from mygo.selection.many.run import Folders, find_folders, select_many
from mygo.selection.many.settings import Setting, read_settings, settings_of

__all__ = ["Folders", "Setting", "find_folders", "read_settings", "select_many", "settings_of"]
