"""Drives the Azure simulators (vault and Managed HSM) with azure-keyvault-keys and azure-identity."""

import datetime
import logging

from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity import ClientSecretCredential
from azure.keyvault.keys import KeyClient, KeyOperation
from azure.keyvault.keys.crypto import CryptographyClient, EncryptionAlgorithm, KeyWrapAlgorithm

from common import b64, main, raises, unb64

DEK = bytes(range(32))
AAD = b"tenant-a"
OTHER = b"tenant-b"


def options(sim):
    return dict(connection_verify=sim.ca_file, verify_challenge_resource=False, retry_total=0)


def credential(sim, secret=None):
    """The vendor's own credential against the simulated token endpoint."""
    return ClientSecretCredential(
        sim.tenant,
        sim.client_id,
        secret or sim.client_secret,
        authority=sim.url,
        disable_instance_discovery=True,
        connection_verify=sim.ca_file,
    )


class Clients:
    def __init__(self, sim):
        self.sim = sim
        self.credential = credential(sim)
        self.keys = KeyClient(sim.url, self.credential, **options(sim))

    def crypto(self, key_id):
        """A cryptography client that asks the service for everything: reading the public key is forbidden to it."""
        self.sim.fault("forbidden", operation="get_key")
        client = CryptographyClient(key_id, self.credential, **options(self.sim))
        client._initialize()
        return client

    def local_crypto(self, key_id):
        """A cryptography client that wraps with the public key by itself, as the SDK does by default."""
        return CryptographyClient(key_id, self.credential, **options(self.sim))


def check(sim):
    clients = Clients(sim)
    challenge(sim, clients)
    rsa(sim, clients)
    versions(sim, clients)
    attributes(sim, clients)
    deletion(clients)
    if sim.service == "azure-hsm":
        symmetric(sim, clients)
    else:
        raises(HttpResponseError, lambda: clients.keys.create_oct_key("oct", hardware_protected=True), "not supported")
    faults(sim, clients)


def challenge(sim, clients):
    # The credential library reports the refusal this provokes.
    logging.getLogger("azure.identity").setLevel(logging.CRITICAL)
    sim.reset_calls()
    key = clients.keys.get_key(sim.key)
    # One call is challenged, then the tenant's token endpoint is asked, then the call is repeated.
    assert sim.calls()["get_key"] == 2 and sim.calls()["token"] == 1, sim.calls()
    assert key.id.startswith(f"{sim.url}/keys/{sim.key}/") and key.properties.enabled
    clients.keys.get_key(sim.key)
    assert sim.calls()["get_key"] == 3 and sim.calls()["token"] == 1
    # An expired token is challenged again; a wrong secret never gets one.
    sim.fault("expired_token", operation="get_key")
    assert clients.keys.get_key(sim.key).id == key.id
    wrong = KeyClient(sim.url, credential(sim, "wrong"), **options(sim))
    raises(ClientAuthenticationError, lambda: wrong.get_key(sim.key), "AADSTS7000215")


def rsa(sim, clients):
    key = clients.keys.get_key(sim.key)
    assert key.key_type in ("RSA", "RSA-HSM") and len(key.key.n) == 256
    remote, local = clients.crypto(key.id), clients.local_crypto(key.id)
    sim.reset_calls()
    by_service = remote.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, DEK)
    assert sim.calls() == {"wrap_key": 1}, sim.calls()
    assert by_service.key_id == key.id
    by_sdk = local.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, DEK)
    assert sim.calls()["wrap_key"] == 1, "the SDK wraps with the public key by itself"
    for wrapped in (by_service, by_sdk):
        assert remote.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped.encrypted_key).key == DEK
    assert by_service.encrypted_key != by_sdk.encrypted_key
    flipped = bytearray(by_service.encrypted_key)
    flipped[-1] ^= 1
    raises(HttpResponseError, lambda: remote.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, bytes(flipped)), "BadParameter")
    # Nothing binds a context: the algorithm has no place for one.
    sealed = remote.encrypt(EncryptionAlgorithm.rsa_oaep_256, DEK)
    assert remote.decrypt(EncryptionAlgorithm.rsa_oaep_256, sealed.ciphertext).plaintext == DEK
    raises(HttpResponseError, lambda: remote.unwrap_key(KeyWrapAlgorithm.rsa_oaep, by_sdk.encrypted_key), "BadParameter")
    raises(HttpResponseError, lambda: remote.encrypt(EncryptionAlgorithm.rsa_oaep_256, bytes(191)), "BadParameter")


def versions(sim, clients):
    old = clients.keys.get_key(sim.key)
    wrapped = clients.crypto(old.id).wrap_key(KeyWrapAlgorithm.rsa_oaep_256, DEK).encrypted_key
    new = clients.keys.rotate_key(sim.key)
    assert new.id != old.id and clients.keys.get_key(sim.key).id == new.id
    listed = {item.version for item in clients.keys.list_properties_of_key_versions(sim.key)}
    assert listed == {old.properties.version, new.properties.version}
    paged = clients.keys.list_properties_of_key_versions(sim.key, max_page_size=1)
    assert {item.version for item in paged} == listed
    # The version is in no blob: the newer one cannot open what the older wrapped.
    raises(
        HttpResponseError,
        lambda: clients.crypto(new.id).unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped),
        "BadParameter",
    )
    assert clients.crypto(old.id).unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped).key == DEK
    raises(ResourceNotFoundError, lambda: clients.keys.get_key(sim.key, "0" * 32), "KeyNotFound")
    raises(ResourceNotFoundError, lambda: clients.keys.get_key("nothing"), "KeyNotFound")
    assert sim.key in [item.name for item in clients.keys.list_properties_of_keys()]


def attributes(sim, clients):
    hardware = sim.service == "azure-hsm"
    key = clients.keys.create_rsa_key("attributed", hardware_protected=hardware)
    crypto = clients.crypto(key.id)
    wrap = lambda: crypto.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, DEK)
    wrapped = wrap().encrypted_key
    unwrap = lambda: crypto.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped)
    clients.keys.update_key_properties("attributed", key.properties.version, enabled=False)
    for act in (wrap, unwrap):
        refused = raises(HttpResponseError, act, "Forbidden", "not allowed on a disabled key")
        assert refused.status_code == 403 and refused.error.innererror["code"] == "KeyDisabled"
    assert clients.keys.get_key("attributed").properties.enabled is False
    clients.keys.update_key_properties("attributed", key.properties.version, enabled=True)
    assert unwrap().key == DEK
    # An expired version protects nothing new, but still opens.
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=5)
    clients.keys.update_key_properties("attributed", key.properties.version, expires_on=soon)
    sim.advance(400)
    assert raises(HttpResponseError, wrap, "expired key").error.innererror["code"] == "KeyExpired"
    assert unwrap().key == DEK
    clients.keys.update_key_properties(
        "attributed", key.properties.version, expires_on=soon + datetime.timedelta(days=9), key_operations=[KeyOperation.wrap_key]
    )
    wrap()
    raises(HttpResponseError, unwrap, "unwrapKey is not permitted")


def deletion(clients):
    hardware = clients.sim.service == "azure-hsm"
    clients.keys.create_rsa_key("doomed", hardware_protected=hardware)
    gone = clients.keys.begin_delete_key("doomed").result()
    assert gone.recovery_id.endswith("/deletedkeys/doomed")
    raises(ResourceNotFoundError, lambda: clients.keys.get_key("doomed"))
    raises(ResourceExistsError, lambda: clients.keys.create_rsa_key("doomed", hardware_protected=hardware), "recoverable")
    clients.keys.begin_recover_deleted_key("doomed").wait()
    clients.keys.begin_delete_key("doomed").wait()
    clients.keys.purge_deleted_key("doomed")
    raises(ResourceNotFoundError, lambda: clients.keys.get_deleted_key("doomed"))


def symmetric(sim, clients):
    key = clients.keys.get_key(sim.oct_key)
    assert key.key_type == "oct-HSM"
    crypto = clients.crypto(key.id)
    sealed = crypto.encrypt(EncryptionAlgorithm.a256_gcm, DEK, additional_authenticated_data=AAD)
    assert len(sealed.iv) == 12 and len(sealed.tag) == 16 and sealed.aad == AAD

    def decrypt(aad=AAD, iv=sealed.iv, tag=sealed.tag):
        return crypto.decrypt(
            EncryptionAlgorithm.a256_gcm,
            sealed.ciphertext,
            iv=iv,
            authentication_tag=tag,
            additional_authenticated_data=aad,
        ).plaintext

    assert decrypt() == DEK
    raises(HttpResponseError, lambda: decrypt(aad=OTHER), "BadParameter")
    raises(HttpResponseError, lambda: decrypt(iv=bytes(12)), "BadParameter")
    raises(HttpResponseError, lambda: decrypt(tag=bytes(16)), "BadParameter")
    wrapped = crypto.wrap_key(KeyWrapAlgorithm.aes_256, DEK).encrypted_key
    assert len(wrapped) == 40
    assert crypto.unwrap_key(KeyWrapAlgorithm.aes_256, wrapped).key == DEK
    raises(HttpResponseError, lambda: crypto.unwrap_key(KeyWrapAlgorithm.aes_256, wrapped[:-1] + b"\0"), "BadParameter")
    raises(HttpResponseError, lambda: crypto.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, DEK), "BadParameter")
    clients.keys.create_oct_key("small", size=128, hardware_protected=True)
    small = clients.crypto(clients.keys.get_key("small").id)
    assert small.unwrap_key(KeyWrapAlgorithm.aes_128, small.wrap_key(KeyWrapAlgorithm.aes_128, DEK).encrypted_key).key == DEK
    assert len(clients.keys.get_random_bytes(32)) == 32


def faults(sim, clients):
    key_id = clients.keys.get_key(sim.key).id
    crypto = clients.crypto(key_id)
    wrapped = crypto.wrap_key(KeyWrapAlgorithm.rsa_oaep_256, DEK).encrypted_key
    unwrap = lambda: crypto.unwrap_key(KeyWrapAlgorithm.rsa_oaep_256, wrapped).key
    for kind, status, needle in [
        ("throttle", 429, "Throttled"),
        ("internal", 500, "InternalServerError"),
        ("unavailable", 503, "ServiceUnavailable"),
        ("forbidden", 403, "Forbidden"),
        ("not_found", 404, "KeyNotFound"),
    ]:
        sim.fault(kind, operation="unwrap_key")
        assert raises(HttpResponseError, unwrap, needle).status_code == status
    sim.fault("other_plaintext", operation="unwrap_key")
    assert unwrap() != DEK
    assert unwrap() == DEK
    # The SDK's own retries honour Retry-After.
    patient = KeyClient(sim.url, clients.credential, **{**options(sim), "retry_total": 3})
    sim.fault("throttle", operation="get_key", retry_after=1)
    sim.reset_calls()
    assert patient.get_key(sim.key).id == key_id
    assert sim.calls()["get_key"] >= 2, sim.calls()


def wrap(sim, request):
    """`algorithm` RSA-OAEP-256, A256KW or A256GCM; the latter takes `aad`."""
    clients = Clients(sim)
    crypto = clients.crypto(request["key_id"])
    if request["algorithm"].endswith("GCM"):
        aad = unb64(request["aad"])
        made = crypto.encrypt(
            EncryptionAlgorithm(request["algorithm"]), unb64(request["plaintext"]), additional_authenticated_data=aad
        )
        return {"ciphertext": b64(made.ciphertext), "iv": b64(made.iv), "tag": b64(made.tag)}
    made = crypto.wrap_key(KeyWrapAlgorithm(request["algorithm"]), unb64(request["plaintext"]))
    return {"ciphertext": b64(made.encrypted_key)}


def unwrap(sim, request):
    clients = Clients(sim)
    crypto = clients.crypto(request["key_id"])
    if request["algorithm"].endswith("GCM"):
        opened = crypto.decrypt(
            EncryptionAlgorithm(request["algorithm"]),
            unb64(request["ciphertext"]),
            iv=unb64(request["iv"]),
            authentication_tag=unb64(request["tag"]),
            additional_authenticated_data=unb64(request["aad"]),
        )
        return {"plaintext": b64(opened.plaintext)}
    opened = crypto.unwrap_key(KeyWrapAlgorithm(request["algorithm"]), unb64(request["ciphertext"]))
    return {"plaintext": b64(opened.key)}


if __name__ == "__main__":
    main(check, wrap, unwrap)
