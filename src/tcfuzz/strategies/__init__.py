"""Cases by named features: `cases(Profile(dialect, features=frozenset({"text:crlf"})))`."""

from __future__ import annotations

from tcfuzz.strategies.conversations import Profile, cases
from tcfuzz.strategies.draft import Size
from tcfuzz.strategies.feature import Feature
from tcfuzz.strategies.features import closure, feature_ids, features_of, registry
from tcfuzz.strategies.imported import check_tools, tools_from_file

__all__ = [
    "Feature",
    "Profile",
    "Size",
    "cases",
    "check_tools",
    "closure",
    "feature_ids",
    "features_of",
    "registry",
    "tools_from_file",
]
