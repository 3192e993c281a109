"""How the kubectl plugins reach the API server: through a kubeconfig, as kubectl itself does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from arktos.client.client import Client
from arktos.client.errors import ConnectionFailed
from arktos.client.kubeconfig import ClientConfig, ConfigError, load
from arktos.model.status import ApiError

_Result = TypeVar("_Result")
_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Access:
    """What the options said. Empty is what the kubeconfig says."""

    kubeconfig: Path | None = None
    context: str = ""
    namespace: str = ""
    tenant: str = ""

    def config(self) -> ClientConfig:
        """The configuration that is meant. Raises click.ClickException."""
        try:
            return load(self.kubeconfig or "", self.context)
        except ConfigError as error:
            raise click.ClickException(str(error)) from error

    def run(self, work: Callable[[Client, str], Awaitable[_Result]]) -> _Result:
        """The result of `work`, which gets a client and the namespace. Raises click.ClickException, in words for the
        person who typed the command."""
        config = self.config()

        async def called() -> _Result:
            async with Client(config.with_user_agent("kubectl-arktos")) as client:
                return await work(client, self.namespace or config.namespace or "default")

        try:
            return asyncio.run(called())
        except ApiError as error:
            raise click.ClickException(error.message) from error
        except ConfigError as error:
            raise click.ClickException(str(error)) from error
        except ConnectionFailed as error:
            raise click.ClickException(f"{config.server} does not answer: {error}") from error


def access_options(command: _Command) -> _Command:
    """Adds the options that kubectl has, too; the command gets an `access`. The innermost decorator."""
    path = click.Path(dir_okay=False, path_type=Path)

    def wrapped(kubeconfig: Path | None, context: str, namespace: str, tenant: str, **rest: Any) -> Any:
        return command(access=Access(kubeconfig, context, namespace, tenant), **rest)

    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    for option in (
        click.option("--tenant", default="", help="The tenant; by default that of the kubeconfig."),
        click.option("-n", "--namespace", default="", help="The namespace; by default that of the kubeconfig."),
        click.option("--context", default="", help="The context of the kubeconfig; by default its current one."),
        click.option("--kubeconfig", type=path, default=None, help="By default $KUBECONFIG, or ~/.kube/config."),
    ):
        wrapped = option(wrapped)
    return wrapped  # type: ignore[return-value]
