"""Registries: the one place that speaks HTTP to them.

`store` is the Store, and `referrers` knows what refers to its content; `client` sends requests to one origin and knows
when to try again; `courtesy` decides how many at a time; `line` notices when a connection stands still; `explaining`
says what a failure means; `authentication` answers challenges; `credentials` finds what the user logged in with;
`trust` decides whose certificates count; `mirrors` says where a registry is really reached. What is taken from `oras`,
and why not more, stands in docs/architecture.md.
"""

from airgap.stores.registry.client import Connections
from airgap.stores.registry.mirrors import Mirrors
from airgap.stores.registry.store import RegistryStore
from airgap.stores.registry.trust import Trust

__all__ = ["Connections", "Mirrors", "RegistryStore", "Trust"]
