"""Harbor's own interface, as far as images need it: a project must be there before anything is pushed into it.

Source: goharbor/harbor api/v2.0/swagger.yaml (systeminfo, projects). Made from that document and tested against its
shapes, not against a running Harbor.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from airgap import limits
from airgap.errors import InvalidInput, StoreError
from airgap.references import Reference
from airgap.stores.registry.client import Client, Request

if TYPE_CHECKING:
    from airgap.stores.registry.session import Answer

_API: Final = "/api/v2.0"


def projects_of(references: Iterable[Reference]) -> tuple[str, ...]:
    """The projects that names need: the first component of each path.

    Raises:
        InvalidInput: a name has no component besides, which Harbor does not take.
    """
    found: set[str] = set()
    for reference in references:
        project, _, rest = reference.repository.partition("/")
        if not rest:
            hint = f"push to a project: {reference.registry}/PROJECT"
            raise InvalidInput(f"`{reference}` is in no project, as all images of a Harbor are", hint=hint)
        found.add(project)
    return tuple(sorted(found))


def missing(client: Client, projects: Iterable[str]) -> tuple[str, ...]:
    """Those of the projects that are not there.

    Raises:
        StoreError: the registry is no Harbor, or does not tell.
    """
    _check_harbor(client)
    return tuple(project for project in projects if not _is_there(client, project))


def create(client: Client, projects: Iterable[str]) -> tuple[str, ...]:
    """Make the projects that are not there, private ones; those that were made.

    Raises:
        AccessDenied: the user may not make projects.
        StoreError: the registry is no Harbor, or refuses.
    """
    return tuple(project for project in missing(client, projects) if _create(client, project))


def _check_harbor(client: Client) -> None:
    """What anybody may ask of a Harbor, and no other registry answers."""
    response = client.send(Request("GET", f"{_API}/systeminfo"))
    if not (response.status_code == 200 and "auth_mode" in _object(client, response)):
        response.close()
        raise StoreError(
            f"`{client.host}` is no Harbor of version 2 or later: it does not answer {_API}/systeminfo",
            hint="make what it needs there by its own means, and leave --create-projects out",
        )


def _object(client: Client, response: Answer) -> dict[str, object]:
    data = b""
    for chunk in client.read(response):
        data += chunk
        if len(data) > limits.ERROR_BODY:
            return {}
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _is_there(client: Client, project: str) -> bool:
    request = Request("HEAD", f"{_API}/projects?project_name={project}", by_login=True)
    response = client.expect(request, f"cannot look for the project `{project}`", 200, 404)
    response.close()
    return response.status_code == 200


def _create(client: Client, project: str) -> bool:
    """Whether it is ours; somebody else may have been faster."""
    body = json.dumps({"project_name": project, "metadata": {"public": "false"}}).encode()
    headers = {"Content-Type": "application/json"}
    request = Request("POST", f"{_API}/projects", headers=headers, body=lambda: body, by_login=True)
    response = client.expect(request, f"cannot make the project `{project}`", 201, 409)
    response.close()
    return response.status_code == 201
