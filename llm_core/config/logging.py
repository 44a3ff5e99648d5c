"""Whom a run tells besides its own folder: loggers of other programs, and an address that hears of its end.

Nothing here changes what is learned. Keys and passwords are no settings: they come from the environment alone.
Not here: the loggers (`llm_core.backend.loggers`), sending (`llm_core.backend.notices`).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import field_validator

from llm_core.config.setting import Settings, setting

_LONGEST_ADDRESS = 2_000


class LoggingConfig(Settings):
    """Loggers beside metrics.db, and the webhook."""

    tensorboard: bool = setting(
        False,
        label="TensorBoard",
        help="Writes event files into the run's folder, which TensorBoard draws.",
    )
    mlflow: bool = setting(
        False,
        label="MLflow",
        help="Sends curves and samples to the MLflow server of MLFLOW_TRACKING_URI. Needs the package mlflow-skinny.",
    )
    wandb: bool = setting(
        False,
        label="Weights & Biases",
        help="Sends curves and samples to Weights & Biases with the key in WANDB_API_KEY. Needs the package wandb.",
    )
    webhook_url: str = setting(
        "",
        label="Webhook",
        help="Gets a short JSON message when the run has ended or diverged. Its host must be allowed in GLASSBOX_WEBHOOK_HOSTS; "
        "an address that is itself a secret belongs into GLASSBOX_WEBHOOK_URL instead.",
    )

    @field_validator("webhook_url")
    @classmethod
    def _is_an_address(cls, address: str) -> str:
        """Empty, or an address that carries no password. Which hosts are allowed is the server's word (`notices.py`)."""
        if not address:
            return address
        if len(address) > _LONGEST_ADDRESS or not all("!" <= character <= "~" for character in address):
            raise ValueError(f"an address has at most {_LONGEST_ADDRESS:,} plain characters and no spaces.")
        parts = urlsplit(address)  # a ValueError of its own for brackets that do not close
        if parts.scheme not in ("https", "http") or not parts.hostname:
            raise ValueError("an address begins with https:// and names a host.")
        if "@" in parts.netloc:
            raise ValueError("an address with a name or password would be kept in config.json. Leave them out.")
        return address
