"""What the other tests here stand on."""

from tests.kube.apiserver import ApiServer


def test_a_killed_api_server_goes_on_with_the_same_data(api_server: ApiServer, namespace: str) -> None:
    api_server.kubectl("-n", namespace, "create", "configmap", "kept")
    api_server.kill()
    assert api_server.kubectl("get", "namespaces", check=False).returncode != 0
    api_server.start()
    assert "kept" in api_server.kubectl("-n", namespace, "get", "configmap").stdout
