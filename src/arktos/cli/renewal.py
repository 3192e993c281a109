"""`arktos renew`: certificates that will not last are replaced. What the supervisor calls now and then."""

from __future__ import annotations

from pathlib import Path

import click

from arktos.cli.data_dir import data_dir_option, installed


@click.command(hidden=True)
@data_dir_option
def renew(data_dir: Path) -> None:
    """Replace the certificates of an installation that expire within two months.

    Its processes take up the new ones by themselves.
    """
    import asyncio
    import ipaddress

    from arktos.bootstrap import credentials, joining

    settings = installed(data_dir)
    try:
        if settings.control_plane:
            first = str(ipaddress.ip_network(settings.service_cluster_ip_range.split(",")[0].strip())[1])
            credentials.ensure(settings.layout, settings.address, settings.port, first, settings.node)
        elif settings.node is not None:
            asyncio.run(joining.renew(settings.layout, settings.node))
    except (credentials.Damaged, joining.Refused, OSError) as error:
        raise click.ClickException(f"certificates are not renewed: {error}") from error
