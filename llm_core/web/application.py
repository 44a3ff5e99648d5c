"""The parts from which `app.py` builds the server: routes, middleware and lifespan over one workspace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from llm_core.backend.inference_client import InferenceClient
from llm_core.config.errors import UserError
from llm_core.config.timing import Timing
from llm_core.text.uploads import sweep_uploads
from llm_core.web.access import AccessMiddleware
from llm_core.web.access_policy import AccessPolicy
from llm_core.web.accounts import TRAINERS_VARIABLE, VIEWERS_VARIABLE, Accounts
from llm_core.web.api import Api
from llm_core.web.device_sampler import shared_sampler
from llm_core.web.lifespan import Lifespan, server_lifespan
from llm_core.web.run_downloads import RunDownloads
from llm_core.web.vendor import PlotlyScript
from llm_core.workspace.paths import Workspace, open_workspace


@dataclass(frozen=True)
class WebParts:
    """What `st.App` takes."""

    routes: Sequence[BaseRoute]
    middleware: Sequence[Middleware]
    lifespan: Lifespan


def web_parts(server_address: str | None, accounts: Accounts | None = None) -> WebParts:
    """The parts for a server that will listen on this address (None: on all).

    Args:
        accounts: the provider through which listed addresses may come in.

    Raises:
        SystemExit: the workspace or the access settings do not allow it; says why on standard error, without a traceback.
    """
    try:
        workspace = open_workspace()
        policy = AccessPolicy.from_environment(workspace, accounts=accounts)
        if accounts is not None:
            _check_accounts(policy, accounts)
        policy.check_address(server_address)
        timing = Timing.from_environment()
        sweep_uploads(workspace)  # what a killed server had begun to receive
    except UserError as error:
        raise SystemExit(f"Glassbox cannot start. {error}") from error
    api = Api(workspace, InferenceClient(workspace), shared_sampler())
    return WebParts(
        routes=all_routes(workspace, api),
        middleware=[Middleware(AccessMiddleware, policy=policy)],
        lifespan=server_lifespan(workspace, timing, api.close),
    )


def all_routes(workspace: Workspace, api: Api) -> list[BaseRoute]:
    """Every route beside Streamlit's own; those of `Api` last but one, because they refuse whatever is left under /api."""
    return [*RunDownloads(workspace).routes(), *api.routes(), PlotlyScript().route()]


def _check_accounts(policy: AccessPolicy, accounts: Accounts) -> None:
    """A provider and a list belong together: either alone would let in somebody else than was meant."""
    if policy.takes_accounts:
        accounts.check()
    elif accounts.is_set_up():
        what = "A provider of accounts is set up in .streamlit/secrets.toml, but nobody is listed who may come in"
        raise UserError(what, remedy=f"List addresses in {TRAINERS_VARIABLE} or {VIEWERS_VARIABLE}, or remove [auth]")
