"""Asks Dagster over its own interface: GraphQL, as its pages do.

So the run is started by the same queue, with the same limits, as one that a person starts in the
pages; and who asks needs nothing of Dagster but an address.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from market_assets.defs.fill_config import run_config_of
from market_assets.defs.internals.adapter import range_tags
from market_assets.defs.keys import PROFILE_TAG, dataset_key, trigger_tag
from market_assets.errors import PlatformError, error_words, printable
from market_assets.serve.platform import Range, RunState
from market_assets.up.state import read_state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from market_assets.fill.options import FillOptions
    from market_assets.work.run import Trigger

_TIMEOUT = 20.0
"""Seconds for an answer: the first one after a start loads the definitions."""

_DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"

_JOB = """
query ($key: AssetKeyInput!) {
  assetNodeOrError(assetKey: $key) {
    ... on AssetNode { jobNames repository { name location { name } } }
  }
}
"""

_LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on Error { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""

_RUN = """
query ($id: ID!) {
  runOrError(runId: $id) {
    ... on Run { runId status startTime endTime tags { key value } }
  }
}
"""


class Pages:
    """Dagster's pages of a home folder: see `market_assets.serve.platform.Platform`.

    Args:
        home: The home folder, in which `market-assets up` says where its pages are.
        url: Where they are; None for those of `up`.
    """

    def __init__(self, home: Path, url: str | None = None) -> None:
        self._home = home
        self._url = url

    def daemons(self) -> Mapping[str, bool]:
        """Whether each daemon that is needed is alive.

        Raises:
            PlatformError: Dagster cannot be reached.
        """
        statuses = self._ask(_DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]
        return {
            status["daemonType"]: bool(status["healthy"])
            for status in statuses
            if status["required"]
        }

    def launch(self, part: Range, options: FillOptions, trigger: Trigger) -> str:
        """Have Dagster start a run, and give its id.

        Raises:
            PlatformError: Dagster cannot be reached, or refuses.
        """
        key = dataset_key(part.dataset)
        node = self._ask(_JOB, key={"path": key.path})["assetNodeOrError"]
        if not node:
            raise PlatformError(
                f"Dagster's pages at {self._address()} know no asset {part.dataset}: "
                "they are of another universe, or could not load it"
            )
        job = next(name for name in node["jobNames"] if name.startswith("__ASSET_JOB"))
        tags = {
            **range_tags(part.first, part.last),
            **trigger_tag(trigger),
            PROFILE_TAG: part.dataset.owner,
        }
        outcome = self._ask(
            _LAUNCH,
            params={
                "selector": {
                    "jobName": job,
                    "repositoryName": node["repository"]["name"],
                    "repositoryLocationName": node["repository"]["location"]["name"],
                    "assetSelection": [{"path": key.path}],
                    "assetCheckSelection": None,
                },
                "runConfigData": run_config_of([key], options),
                "executionMetadata": {
                    "tags": [{"key": name, "value": value} for name, value in tags.items()]
                },
            },
        )["launchRun"]
        if outcome["__typename"] != "LaunchRunSuccess":
            reasons = [error["message"] for error in outcome.get("errors", ())]
            words = "; ".join(reasons) or outcome.get("message") or outcome["__typename"]
            raise PlatformError(
                f"Dagster does not start the run of {part.dataset}: {printable(words)[:300]}"
            )
        return str(outcome["run"]["runId"])

    def run(self, run_id: str) -> RunState | None:
        """How a run is; None where Dagster knows of none.

        Raises:
            PlatformError: Dagster cannot be reached.
        """
        run = self._ask(_RUN, id=run_id)["runOrError"]
        if not run:
            return None
        tags = {tag["key"]: tag["value"] for tag in run["tags"]}
        return RunState(
            run["runId"], run["status"], _instant(run["startTime"]), _instant(run["endTime"]), tags
        )

    def page_of(self, run_id: str) -> str:
        """The address of a run's page."""
        return f"{self._address()}/runs/{run_id}"

    def _address(self) -> str:
        if self._url is not None:
            return self._url.rstrip("/")
        state = read_state(self._home)
        if state is None or state.ended_at is not None:
            raise PlatformError(
                f"no platform runs over {self._home}: start `market-assets up`, "
                "or name Dagster's pages in `serve: {dagster: http://...}`"
            )
        return state.url

    def _ask(self, query: str, **variables: object) -> dict[str, Any]:
        address = self._address()
        try:
            answer = httpx.post(
                f"{address}/graphql",
                json={"query": query, "variables": variables},
                timeout=_TIMEOUT,
                trust_env=False,
            )
            document = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise PlatformError(
                f"Dagster's pages at {address} do not answer: {error_words(error)}"
            ) from error
        if not isinstance(document, dict) or document.get("errors") or not document.get("data"):
            reasons = document.get("errors") if isinstance(document, dict) else None
            words = reasons[0].get("message", "") if reasons else f"status {answer.status_code}"
            raise PlatformError(
                f"Dagster's pages at {address} refuse the question: {printable(str(words))[:300]}"
            )
        data: dict[str, Any] = document["data"]
        return data


def _instant(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
