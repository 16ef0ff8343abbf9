"""What is administered has its routes; the routes themselves are tested a desk at a time."""

from fastapi.routing import APIRoute

from router.admin.usage import UsageAdmin
from router.facades.http.admin.desks import AdminDesks
from tests.support.fakes import principal


def test_only_what_is_there_is_administered() -> None:
    usage = UsageAdmin(None)  # type: ignore[arg-type]  # nothing is asked
    desks = AdminDesks(usage=usage)
    found = [
        route.path
        for routes in desks.routes(lambda _: principal("*"))
        for route in routes.routes
        if isinstance(route, APIRoute)
    ]

    assert ["/admin/v1/usage"] == found
    assert [] == list(desks.schemas())
    assert [] == list(AdminDesks().routes(lambda _: principal("*")))
