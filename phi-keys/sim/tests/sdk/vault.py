"""Drives the Vault simulator with hvac."""

import hvac
from hvac.exceptions import (
    Forbidden,
    InternalServerError,
    InvalidPath,
    InvalidRequest,
    RateLimitExceeded,
    VaultDown,
)

from common import b64, main, raises, unb64

CONTEXT = b64(b"tenant-a")
OTHER = b64(b"tenant-b")
DEK = b64(bytes(range(32)))


def client(sim, token=None, namespace=None):
    return hvac.Client(url=sim.url, token=token or sim.root_token, namespace=namespace)


def version_of(ciphertext):
    return int(ciphertext.split(":")[1].removeprefix("v"))


def check(sim):
    vault = client(sim)
    assert vault.sys.is_initialized() and not vault.sys.is_sealed() and vault.is_authenticated()
    derived_context(sim, vault)
    associated_data(sim, vault)
    batches(sim, vault)
    versions(sim, vault)
    data_keys(sim, vault)
    administration(vault)
    policies(sim)
    namespaces(sim, vault)
    logins(sim)
    health(sim, vault)
    faults(sim, vault)


def derived_context(sim, vault):
    transit, key = vault.secrets.transit, sim.key
    made = transit.encrypt_data(key, DEK, context=CONTEXT)["data"]
    assert made["ciphertext"].startswith("vault:v1:") and made["key_version"] == 1
    assert transit.decrypt_data(key, made["ciphertext"], context=CONTEXT)["data"]["plaintext"] == DEK
    raises(InvalidRequest, lambda: transit.decrypt_data(key, made["ciphertext"], context=OTHER), "authentication failed")
    raises(InvalidRequest, lambda: transit.decrypt_data(key, made["ciphertext"]), "missing 'context'")
    raises(InvalidRequest, lambda: transit.encrypt_data(key, DEK), "missing 'context'")
    raises(InvalidRequest, lambda: transit.decrypt_data(sim.plain_key, made["ciphertext"]), "authentication failed")
    # A key that is not derived ignores the context: nothing is bound.
    loose = transit.encrypt_data(sim.plain_key, DEK, context=CONTEXT)["data"]["ciphertext"]
    assert transit.decrypt_data(sim.plain_key, loose, context=OTHER)["data"]["plaintext"] == DEK
    broken = made["ciphertext"][:-8] + "AAAAAAA="
    raises(InvalidRequest, lambda: transit.decrypt_data(key, broken, context=CONTEXT), "authentication failed")
    for blob, why in [
        ("nonsense", "no prefix"),
        ("vault:v1", "wrong number of fields"),
        ("vault:vx:AAAA", "version number"),
        ("vault:v9:AAAA", "too new"),
        ("vault:v1:!", "could not decode base64"),
        ("vault:v1:AAAA", "invalid ciphertext length"),
    ]:
        raises(InvalidRequest, lambda blob=blob: transit.decrypt_data(key, blob, context=CONTEXT), why)
    raises(InvalidRequest, lambda: transit.encrypt_data(key, "not base64!", context=CONTEXT), "illegal base64")


def associated_data(sim, vault):
    transit, key = vault.secrets.transit, sim.plain_key
    made = transit.encrypt_data(key, DEK, associated_data=CONTEXT)["data"]["ciphertext"]
    assert transit.decrypt_data(key, made, associated_data=CONTEXT)["data"]["plaintext"] == DEK
    raises(InvalidRequest, lambda: transit.decrypt_data(key, made, associated_data=OTHER), "authentication failed")
    raises(InvalidRequest, lambda: transit.decrypt_data(key, made), "authentication failed")
    # Rewrap has no associated data to pass.
    raises(InvalidRequest, lambda: transit.rewrap_data(key, made), "authentication failed")
    transit.create_key("rsa", key_type="rsa-2048")
    oaep = transit.encrypt_data("rsa", DEK)["data"]["ciphertext"]
    assert transit.decrypt_data("rsa", oaep)["data"]["plaintext"] == DEK
    raises(InvalidRequest, lambda: transit.encrypt_data("rsa", DEK, associated_data=CONTEXT), "non-AEAD")


def batches(sim, vault):
    transit, key = vault.secrets.transit, sim.key
    made = transit.encrypt_data(
        key, batch_input=[{"plaintext": DEK, "context": CONTEXT}, {"plaintext": DEK, "context": OTHER}]
    )["data"]["batch_results"]
    good = {"ciphertext": made[0]["ciphertext"], "context": CONTEXT, "reference": "first"}
    swapped = {"ciphertext": made[1]["ciphertext"], "context": CONTEXT, "reference": "second"}
    done = transit.decrypt_data(key, batch_input=[good])["data"]["batch_results"]
    assert done == [{"plaintext": DEK, "reference": "first"}], done

    def both(**extra):
        url = f"{sim.url}/v1/transit/decrypt/{key}"
        body = {"batch_input": [good, swapped], **extra}
        return vault.session.post(url, json=body, headers={"X-Vault-Token": sim.root_token})

    answer = both()
    assert answer.status_code == 400
    results = answer.json()["data"]["batch_results"]
    assert results[0]["plaintext"] == DEK and "authentication failed" in results[1]["error"]
    assert results[1]["reference"] == "second"
    assert both(partial_failure_response_code=207).status_code == 207
    mixed = [{"plaintext": DEK, "context": CONTEXT}, {"plaintext": DEK}]
    raises(InvalidRequest, lambda: transit.encrypt_data(key, batch_input=mixed), "either in all")
    rewrapped = transit.rewrap_data(key, "", batch_input=[good, swapped])["data"]["batch_results"]
    assert rewrapped[0]["ciphertext"].startswith("vault:v1:") and "error" in rewrapped[1]


def versions(sim, vault):
    transit, key = vault.secrets.transit, "versioned"
    transit.create_key(key, derived=True)
    old = transit.encrypt_data(key, DEK, context=CONTEXT)["data"]["ciphertext"]
    transit.rotate_key(key)
    assert transit.read_key(key)["data"]["latest_version"] == 2
    assert version_of(transit.encrypt_data(key, DEK, context=CONTEXT)["data"]["ciphertext"]) == 2
    assert version_of(transit.encrypt_data(key, DEK, context=CONTEXT, key_version=1)["data"]["ciphertext"]) == 1
    raises(InvalidRequest, lambda: transit.encrypt_data(key, DEK, context=CONTEXT, key_version=3), "higher than the latest")
    new = transit.rewrap_data(key, old, context=CONTEXT)["data"]["ciphertext"]
    assert version_of(new) == 2
    assert transit.decrypt_data(key, new, context=CONTEXT)["data"]["plaintext"] == DEK
    raises(InvalidRequest, lambda: transit.rewrap_data(key, old, context=OTHER), "authentication failed")
    raises(InvalidRequest, lambda: transit.trim_key(key, 2), "minimum encryption version is not set")
    # hvac itself refuses to send both at the same value.
    transit.update_key_configuration(key, min_encryption_version=2)
    transit.update_key_configuration(key, min_decryption_version=2)
    raises(InvalidRequest, lambda: transit.decrypt_data(key, old, context=CONTEXT), "too old")
    raises(InvalidRequest, lambda: transit.encrypt_data(key, DEK, context=CONTEXT, key_version=1), "less than the minimum")
    raises(InvalidRequest, lambda: transit.update_key_configuration(key, min_decryption_version=9), "latest key version is 2")
    transit.update_key_configuration(key, min_decryption_version=1)
    assert transit.decrypt_data(key, old, context=CONTEXT)["data"]["plaintext"] == DEK
    transit.update_key_configuration(key, min_decryption_version=2)
    transit.trim_key(key, 2)
    raises(InvalidRequest, lambda: transit.update_key_configuration(key, min_decryption_version=1), "min available version")
    assert list(transit.read_key(key)["data"]["keys"]) == ["2"]


def data_keys(sim, vault):
    transit, key = vault.secrets.transit, sim.key
    made = transit.generate_data_key(key, "plaintext", context=CONTEXT)["data"]
    assert len(unb64(made["plaintext"])) == 32
    opened = transit.decrypt_data(key, made["ciphertext"], context=CONTEXT)["data"]
    assert opened["plaintext"] == made["plaintext"]
    wrapped = transit.generate_data_key(key, "wrapped", context=CONTEXT, bits=512)["data"]
    assert "plaintext" not in wrapped
    assert len(unb64(transit.decrypt_data(key, wrapped["ciphertext"], context=CONTEXT)["data"]["plaintext"])) == 64
    raises(InvalidRequest, lambda: transit.generate_data_key(key, "wrapped"), "missing 'context'")


def administration(vault):
    transit = vault.secrets.transit
    transit.create_key("doomed")
    assert "doomed" in transit.list_keys()["data"]["keys"]
    raises(InvalidRequest, lambda: transit.delete_key("doomed"), "deletion is not allowed")
    transit.update_key_configuration("doomed", deletion_allowed=True)
    transit.delete_key("doomed")
    raises(InvalidPath, lambda: transit.read_key("doomed"))
    raises(InvalidRequest, lambda: transit.decrypt_data("doomed", "vault:v1:AAAA"), "encryption key not found")
    # Encrypting creates what does not exist, derived if there is a context.
    transit.encrypt_data("upserted", DEK, context=CONTEXT)
    assert transit.read_key("upserted")["data"]["derived"] is True


def policies(sim):
    user = client(sim, sim.token).secrets.transit
    made = user.encrypt_data(sim.key, DEK, context=CONTEXT)["data"]["ciphertext"]
    assert user.decrypt_data(sim.key, made, context=CONTEXT)["data"]["plaintext"] == DEK
    raises(Forbidden, lambda: user.rotate_key(sim.key), "permission denied")
    raises(Forbidden, lambda: user.encrypt_data("unknown", DEK), "permission denied")
    producer = client(sim, sim.wrap_only_token).secrets.transit
    producer.encrypt_data(sim.key, DEK, context=CONTEXT)
    raises(Forbidden, lambda: producer.decrypt_data(sim.key, made, context=CONTEXT), "permission denied")
    stranger = client(sim, "hvs.unknown").secrets.transit
    raises(Forbidden, lambda: stranger.read_key(sim.key), "permission denied")


def namespaces(sim, vault):
    inside = client(sim, namespace=sim.namespace).secrets.transit
    made = inside.encrypt_data(sim.key, DEK, context=CONTEXT)["data"]["ciphertext"]
    assert inside.decrypt_data(sim.key, made, context=CONTEXT)["data"]["plaintext"] == DEK
    # The key of the same name in the root namespace is another key.
    raises(
        InvalidRequest,
        lambda: vault.secrets.transit.decrypt_data(sim.key, made, context=CONTEXT),
        "authentication failed",
    )
    raises(InvalidPath, lambda: client(sim, namespace="nowhere").secrets.transit.read_key(sim.key))


def logins(sim):
    vault = hvac.Client(url=sim.url)
    raises(InvalidRequest, lambda: vault.auth.approle.login(sim.role_id, "wrong"), "invalid role or secret ID")
    grant = vault.auth.approle.login(sim.role_id, sim.secret_id)["auth"]
    assert grant["renewable"] and grant["lease_duration"] == 600
    me = vault.auth.token.lookup_self()["data"]
    assert me["policies"] == ["default", "phi-keys"] and 0 < me["ttl"] <= 600
    sim.advance(400)
    assert vault.auth.token.lookup_self()["data"]["ttl"] <= 200
    assert vault.auth.token.renew_self()["auth"]["lease_duration"] == 600
    sim.advance(500)
    assert vault.is_authenticated()
    sim.advance(101)
    raises(Forbidden, lambda: vault.secrets.transit.read_key(sim.key), "permission denied")
    # No renewal reaches beyond the maximum.
    vault.auth.approle.login(sim.role_id, sim.secret_id)
    for _ in range(6):
        sim.advance(550)
        last = vault.auth.token.renew_self()
    # Real seconds pass too.
    assert 3600 - 6 * 550 - 60 < last["auth"]["lease_duration"] <= 3600 - 6 * 550, last
    assert "max_ttl" in last["warnings"][0]
    vault.token = None
    raises(Forbidden, lambda: vault.auth.kubernetes.login(sim.kubernetes_role, "not-the-jwt"), "permission denied")
    raises(InvalidRequest, lambda: vault.auth.kubernetes.login("nobody", sim.kubernetes_jwt), "invalid role name")
    vault.token = vault.auth.kubernetes.login(sim.kubernetes_role, sim.kubernetes_jwt)["auth"]["client_token"]
    assert vault.is_authenticated()
    vault.auth.token.revoke_self()
    assert not vault.is_authenticated()
    root = client(sim)
    short = root.auth.token.create(policies=["phi-keys"], ttl="30s", renewable=False)["auth"]["client_token"]
    limited = client(sim, short)
    raises(InvalidRequest, lambda: limited.auth.token.renew_self(), "lease is not renewable")
    sim.advance(31)
    assert not limited.is_authenticated()


def health(sim, vault):
    status = lambda: vault.sys.read_health_status(method="GET").status_code
    assert vault.sys.read_health_status(method="GET")["sealed"] is False
    sim.switch("standby", True)
    assert status() == 429
    sim.switch("standby", False)
    sim.switch("sealed", True)
    assert status() == 503 and vault.sys.is_sealed()
    raises(VaultDown, lambda: vault.secrets.transit.read_key(sim.key), "sealed")
    sim.switch("sealed", False)
    assert vault.secrets.transit.read_key(sim.key)["data"]["name"] == sim.key


def faults(sim, vault):
    transit, key = vault.secrets.transit, sim.key
    for kind, error in [
        ("throttle", RateLimitExceeded),
        ("internal", InternalServerError),
        ("unavailable", VaultDown),
        ("sealed", VaultDown),
        ("expired_token", Forbidden),
    ]:
        sim.fault(kind, operation="read_key")
        raises(error, lambda: transit.read_key(key))
        assert transit.read_key(key)["data"]["name"] == key
    made = transit.encrypt_data(key, DEK, context=CONTEXT)["data"]["ciphertext"]
    sim.fault("other_plaintext", operation="decrypt", key=key)
    assert transit.decrypt_data(key, made, context=CONTEXT)["data"]["plaintext"] != DEK
    sim.fault("other_version", operation="encrypt")
    assert version_of(transit.encrypt_data(key, DEK, context=CONTEXT)["data"]["ciphertext"]) == 999
    sim.fault("drop")
    raises(Exception, lambda: transit.read_key(key))
    sim.reset_calls()
    transit.read_key(key)
    assert sim.calls() == {"read_key": 1}


def wrap(sim, request):
    made = client(sim, request.get("token"), request.get("namespace")).secrets.transit.encrypt_data(
        request["key"],
        request["plaintext"],
        context=request.get("context"),
        associated_data=request.get("associated_data"),
    )
    return {"ciphertext": made["data"]["ciphertext"]}


def unwrap(sim, request):
    opened = client(sim, request.get("token"), request.get("namespace")).secrets.transit.decrypt_data(
        request["key"],
        request["ciphertext"],
        context=request.get("context"),
        associated_data=request.get("associated_data"),
    )
    return {"plaintext": opened["data"]["plaintext"]}


if __name__ == "__main__":
    main(check, wrap, unwrap)
