"""What a vendor allows, kept on a Redis or a PostgreSQL server."""

from __future__ import annotations

import asyncio
import socket

import psycopg
import pytest
from pydantic import SecretStr

from market_assets.errors import SourceError
from market_assets.sources.transport.limit import Allowance
from market_assets.sources.transport.limit_server import Answer, Bound, Report, Request, Unit
from market_assets.sources.transport.limits_url import server_at
from market_assets.sources.transport.shared_limit import SharedLimit
from market_assets_tests.support.limits import Place, client
from market_assets_tests.support.servers import PASSWORD, QUOTED, SERVERS

on_servers = pytest.mark.parametrize("place", [*SERVERS], indirect=True)


def shared(place: Place, key: str, rate: str | None = None) -> SharedLimit:
    return SharedLimit("mine", Allowance(rate), SecretStr(place.url), key)


def permit(limit: SharedLimit, weight: int = 1, *, within: float = 5) -> float:
    """Get a permit; gives the seconds that it took."""

    async def permit() -> float:
        limit.open()
        got = await asyncio.wait_for(limit.permit(weight), within)
        limit.done(got)
        return got.waits

    return asyncio.run(permit())


@on_servers
class TestServer:
    def test_the_longest_hold_counts_and_none_is_for_ever(self, place):
        mine, other = shared(place, "longest"), shared(place, "longest")

        for seconds, left in ((5, 5), (60, 60), (1, 60), (float("inf"), 7 * 86_400)):
            other.hold(seconds)
            permit(mine)
            assert (
                left - 2 < mine.held() < left + 0.1
            )  # what the vendor said is told to others a moment later
            assert left - 2 < other.held() <= left
        assert shared(place, "longest").held() == 0

    def test_a_hold_is_for_those_of_one_key(self, place):
        shared(place, "held").hold(60)
        mine = shared(place, "free")

        permit(mine)

        assert mine.held() == 0

    def test_nothing_is_counted_while_a_hold_lasts_and_its_end_is_waited_for(self, place):
        shared(place, "ends").hold(0.4)
        mine = shared(place, "ends", "1/s")

        assert 0.2 < permit(mine) < 1
        assert mine.held() == 0

    def test_a_request_that_weighs_more_uses_up_more(self, place):
        limit = shared(place, "heavy", "6/s")

        assert permit(limit, 3) + permit(limit, 3) < 0.5
        assert permit(limit, 3) > 0.5

    def test_a_request_that_weighs_more_than_the_rate_allows_is_an_error(self, place):
        with pytest.raises(SourceError, match="weighs 3, and its rate allows 2") as caught:
            permit(shared(place, "too heavy", "2/s"), 3)

        assert caught.value.permanent

    def test_a_source_with_a_shorter_period_leaves_the_counts_of_the_others(self, place):
        minute, second = shared(place, "periods", "2/m"), shared(place, "periods", "9/s")
        for limit in (minute, minute, second):
            permit(limit)

        with pytest.raises(TimeoutError):
            permit(minute, within=0.3)

    def test_what_others_have_used_takes_up_room_and_ours_on_its_way_is_not_taken_for_it(
        self, place
    ):
        server = server_at(place.url)
        start = server.now() - 5
        bound = Bound(10, Unit.WEIGHT, 60, since=start)

        def take(name: str, *reports: int) -> bool:
            told = [Report("window", start, start + 3, weight) for weight in reports]
            return server.take("report", Request(name, 2, 30, [bound], (), told)).is_in

        assert take("a")
        # A count below ours is old. Eight are more than ours: which of ours are among them nobody
        # knows, so that eight are somebody else's.
        assert take("b", 1)
        assert not take("c", 8)
        server.settle("report", [Answer(name, "slot", 0.0) for name in ("a", "b")])
        assert not take("d", 8)
        server.close()

    def test_a_connection_that_the_server_has_closed_is_made_anew(self, place):
        limit = shared(place, "cut", "50/s")
        permit(limit)

        for _ in range(2):
            place.cut()
            permit(limit)
        place.cut()
        limit.hold(60)

        other = shared(place, "cut")
        permit(other)
        assert other.held() > 50

    def test_it_can_be_opened_again_after_it_was_closed(self, place):
        limit = shared(place, "again", "50/s")

        for _ in range(2):
            permit(limit)
            limit.close()

    def test_a_wrong_password_is_an_error_that_does_not_show_it(self, place, caplog):
        wrong = Place({"limiter": place.url.replace(QUOTED, "wR0ng")})
        limit = shared(wrong, "wrong", "5/s")

        with pytest.raises(
            SourceError, match=r"its limit cannot be shared: .*127\.0\.0\.1.*`limits`"
        ) as caught:
            permit(limit)
        limit.hold(5)

        assert "wR0ng" not in str(caught.value) + caplog.text
        assert "other machines will not know" in caplog.text
        assert limit.held() > 3

    def test_those_that_begin_at_once_do_so_all(self, place):
        limits = [shared(place, f"first {count}", "5/s") for count in range(4)]
        if place.url.startswith("postgres"):
            with psycopg.connect(place.url) as connection:
                connection.execute(
                    "DROP TABLE IF EXISTS market_assets_requests, market_assets_holds"
                )

        async def begin() -> None:
            for limit in limits:
                limit.open()
            await asyncio.gather(*(limit.permit() for limit in limits))

        asyncio.run(begin())


@pytest.mark.parametrize("scheme", ["redis", "postgresql"])
class TestWithoutItsServer:
    def test_nothing_is_asked_and_the_error_names_source_and_server_and_no_password(
        self, serve, reply, tmp_path, scheme
    ):
        server = serve(reply((200, {}, b"{}")))
        with socket.create_server(("127.0.0.1", 0)) as listening:
            url = f"{scheme}://me:{QUOTED}@127.0.0.1:{listening.getsockname()[1]}/0"

        async def ask() -> None:
            async with client(server.url, tmp_path, limiter=url) as mine:
                await mine.get("/", {}, about="a page", parse=bytes)

        place = rf"source mine: its limit cannot be shared: {scheme}://127\.0\.0\.1/0: "
        with pytest.raises(SourceError, match=place) as caught:
            asyncio.run(ask())

        assert not caught.value.permanent
        assert server.requests == []
        assert not any(secret in str(caught.value) for secret in (PASSWORD, QUOTED))

    def test_a_server_that_says_nothing_is_given_up(self, serve, scheme, monkeypatch):
        patience = {"redis": 0.2, "postgresql": 2}[
            scheme
        ]  # libpq takes whole seconds, and no fewer than two

        async def say_nothing(_request: bytes, _writer: asyncio.StreamWriter) -> None:
            await asyncio.Event().wait()

        for server in ("limit_redis", "limit_postgres"):
            monkeypatch.setattr(f"market_assets.sources.transport.{server}.PATIENCE", patience)
        port = serve(say_nothing).url.rpartition(":")[2]
        limit = SharedLimit(
            "mine", Allowance("5/s"), SecretStr(f"{scheme}://127.0.0.1:{port}/0"), "silent"
        )

        with pytest.raises(SourceError, match="its limit cannot be shared"):
            permit(limit, within=30)
