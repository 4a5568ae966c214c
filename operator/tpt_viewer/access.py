"""Which cluster a command asks: options as kubectl has them. It imports no more than click, so that `tpt --help` stays quick."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

Command = Callable[..., Any]


@dataclass(frozen=True)
class Access:
    """Which cluster, as the command line says it."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None

    @property
    def given(self) -> bool:
        """Whether the command line names a cluster, a context or a namespace."""
        return any((self.kubeconfig, self.context, self.namespace))


_OPTIONS = (
    click.option("-n", "--namespace", help="Namespace of the run.  [default: that of the context]"),
    click.option("--context", help="Context of the kubeconfig.  [default: the current one]"),
    click.option(
        "--kubeconfig",
        type=click.Path(path_type=Path, dir_okay=False),
        help="Path of the kubeconfig.  [default: KUBECONFIG, or ~/.kube/config]",
    ),
)


def of_cluster(command: Command) -> Command:
    """Add the options to a command, which gets `access` for them."""

    def with_access(namespace: str | None, context: str | None, kubeconfig: Path | None, **rest: Any) -> Any:
        return command(access=Access(kubeconfig, context, namespace), **rest)

    with_access.__doc__ = command.__doc__
    with_access.__click_params__ = list(getattr(command, "__click_params__", ()))  # type: ignore[attr-defined]
    for option in reversed(_OPTIONS):
        with_access = option(with_access)
    return with_access
