from router.config.reached import compile_network, reached
from router.config.schema_providers import NetworkSettings
from router.domain.catalog import Network
from router.domain.secret import Secret


def test_a_network_is_compiled_with_the_way_there() -> None:
    given = {"ca_file": "/c", "headers": {"x-a": "b"}, "allow_private": True, "proxy": "http://p:1"}
    network = compile_network(NetworkSettings.model_validate(given))

    assert ("/c", (("x-a", "b"),), True, Secret("http://p:1")) == (
        network.ca_file,
        network.headers,
        network.allow_private,
        network.proxy,
    )
    assert network is reached(network)


def test_a_proxy_whose_variable_is_empty_is_none() -> None:
    assert compile_network(NetworkSettings.model_validate({"proxy": ""})).proxy is None


def test_a_change_of_the_way_is_a_change_of_the_network() -> None:
    ways = [{}, {"allow_private": True}, {"proxy": "http://p:1"}, {"proxy": "http://p:2"}]
    networks = [compile_network(NetworkSettings.model_validate(way)) for way in ways]

    assert 4 == len(set(networks))


def test_a_network_that_is_in_no_file_is_a_public_one() -> None:
    assert not reached(Network(ca_file="/c")).allow_private
    assert "/c" == reached(Network(ca_file="/c")).ca_file
