"""Every service of administration is served, with every method that its file names."""

from types import SimpleNamespace

from router.facades.grpc.admin.services import admin_services
from tests.support.grpc_admin import FILES
from tests.support.grpc_service import Methods


def test_every_method_of_every_file_is_served_with_its_messages() -> None:
    unasked = SimpleNamespace(
        **dict.fromkeys(
            ("keys", "tenants", "top_ups", "audit", "budgets", "limits", "breakers", "usage", "ledger"), object()
        )
    )
    found = {one.service_name(): one for one in admin_services(Methods(), unasked)}  # type: ignore[arg-type]  # nothing is asked
    wanted = [service for file in FILES for service in file.DESCRIPTOR.services_by_name.values()]

    assert {service.full_name for service in wanted} == set(found)
    for service in wanted:
        for method in service.methods:
            path = SimpleNamespace(method=f"/{service.full_name}/{method.name}")
            served = found[service.full_name].service(path)
            assert served is not None, path.method
            assert method.input_type is served[0].DESCRIPTOR
