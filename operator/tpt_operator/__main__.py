"""`python -m tpt_operator`: the operator's process. Set by flags, or by variables such as TPT_SAMPLER_IMAGE."""

import asyncio
import logging
import os
import socket

import click

from tpt_operator.api import connect
from tpt_operator.ending import Ended, LastResort
from tpt_operator.running import operate
from tpt_operator.settings import Images, Lease, Settings


@click.command(context_settings={"auto_envvar_prefix": "TPT"})
@click.option("--sampler-image", required=True, help="Image of the sample step.")
@click.option("--pruner-image", required=True, help="Image of prepare, prune and finalize.")
@click.option("--trainer-image", required=True, help="Image of the train step.")
@click.option("--image-pull-policy", type=click.Choice(["Always", "IfNotPresent", "Never"]), help="Of all of them.")
@click.option("--image-pull-secret", multiple=True, help="Secret of a run's namespace to pull them with; may be repeated.")
@click.option("--network-policies/--no-network-policies", default=True, show_default=True, help="Wall off the pods of each run.")
@click.option("--namespace", help="Watch this namespace only. Default: all of them.")
@click.option("--lease-namespace", help="Where operators hold their Lease in turn. Default: no Lease, this one is active.")
@click.option("--lease-name", default="tpt-operator", show_default=True, help="Of that Lease; those with the same take turns.")
@click.option("--lease-seconds", default=15, show_default=True, help="A holder that does not renew it for so long has lost it.")
@click.option("--port", default=8080, show_default=True, help="Serves /healthz, /readyz and /metrics.")
@click.option("--resync-seconds", default=180.0, show_default=True, help="How often everything is listed anew.")
@click.option("--log-level", type=click.Choice(["DEBUG", "INFO", "WARNING"]), default="INFO", show_default=True)
def main(  # noqa: PLR0913 - one parameter for each flag
    *,
    sampler_image: str,
    pruner_image: str,
    trainer_image: str,
    image_pull_policy: str | None,
    image_pull_secret: tuple[str, ...],
    network_policies: bool,
    namespace: str | None,
    lease_namespace: str | None,
    lease_name: str,
    lease_seconds: int,
    port: int,
    resync_seconds: float,
    log_level: str,
) -> None:
    """Carry out SelfImprovementRuns."""
    logging.basicConfig(level=log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    images = Images(sampler_image, pruner_image, trainer_image, image_pull_policy, image_pull_secret)
    identity = f"{socket.gethostname()}-{os.getpid()}"  # of two processes on one host, too
    lease = Lease(lease_namespace, identity, lease_name, lease_seconds) if lease_namespace else None
    settings = Settings(
        images=images,
        network_policies=network_policies,
        namespace=namespace,
        lease=lease,
        port=port,
        resync_seconds=resync_seconds,
    )
    _run(settings, LastResort())


def _run(settings: Settings, resort: LastResort) -> None:
    try:
        with asyncio.Runner() as runner:
            try:
                runner.run(_operate(settings, resort))
            finally:
                resort.arm()  # what is left in the event loop, or in threads, may not end
    except SystemExit as end:  # whatever its code says: nobody but a signal is to end this process well
        raise Ended("a part has asked for the end of the process") from end


async def _operate(settings: Settings, resort: LastResort) -> None:
    api = await connect(settings.request_timeout_seconds)
    try:
        await operate(api, settings, ending=resort.arm)
    finally:
        await api.close()


if __name__ == "__main__":
    main()
