"""Drives the GCP simulator with google-cloud-kms over REST."""

import datetime
import json
import urllib.request

from google.api_core import exceptions as errors
from google.api_core import retry as retries
from google.auth import credentials
from google.cloud import kms_v1
from google.cloud.kms_v1.services.key_management_service.transports import KeyManagementServiceRestTransport
from google.protobuf import field_mask_pb2

from common import b64, main, raises, unb64

AAD = b"tenant-a"
OTHER = b"tenant-b"
DEK = bytes(range(32))
State = kms_v1.CryptoKeyVersion.CryptoKeyVersionState


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0x82F63B78 if crc & 1 else crc >> 1
    return crc ^ 0xFFFFFFFF


class Token(credentials.Credentials):
    """A bearer token that is what it is."""

    def __init__(self, token):
        super().__init__()
        self.token = token

    def refresh(self, request):
        pass


class Client:
    """The SDK's client without its own retries, so that every call is one call."""

    def __init__(self, sim, token=None):
        transport = KeyManagementServiceRestTransport(
            host=sim.url.removeprefix("http://"),
            url_scheme="http",
            credentials=Token(token) if token else credentials.AnonymousCredentials(),
        )
        self.kms = kms_v1.KeyManagementServiceClient(transport=transport)

    def __getattr__(self, name):
        method = getattr(self.kms, name)
        return lambda **fields: method(request=fields, retry=None, timeout=30)


def check(sim):
    assert crc32c(b"123456789") == 0xE3069283
    client = Client(sim)
    round_trip(sim, client)
    fields(sim)
    checksums(sim, client)
    limits(sim, client)
    states(client, sim)
    primaries(client, sim)
    administration(sim, client)
    credentials_checked(sim)
    faults(sim, client)


def encrypt(client, name, plaintext=DEK, aad=AAD, **extra):
    return client.encrypt(
        name=name,
        plaintext=plaintext,
        additional_authenticated_data=aad,
        plaintext_crc32c=crc32c(plaintext),
        additional_authenticated_data_crc32c=crc32c(aad),
        **extra,
    )


def decrypt(client, name, ciphertext, aad=AAD):
    return client.decrypt(
        name=name,
        ciphertext=ciphertext,
        additional_authenticated_data=aad,
        ciphertext_crc32c=crc32c(ciphertext),
        additional_authenticated_data_crc32c=crc32c(aad),
    )


def round_trip(sim, client):
    made = encrypt(client, sim.key)
    assert made.name == f"{sim.key}/cryptoKeyVersions/1"
    assert made.ciphertext_crc32c == crc32c(made.ciphertext)
    assert made.verified_plaintext_crc32c and made.verified_additional_authenticated_data_crc32c
    assert made.protection_level == kms_v1.ProtectionLevel.SOFTWARE
    opened = decrypt(client, sim.key, made.ciphertext)
    assert opened.plaintext == DEK and opened.plaintext_crc32c == crc32c(DEK) and opened.used_primary
    raises(errors.BadRequest, lambda: decrypt(client, sim.key, made.ciphertext, OTHER), "ciphertext is invalid")
    raises(errors.BadRequest, lambda: decrypt(client, sim.other_key, made.ciphertext), "verify that 'name'")
    flipped = made.ciphertext[:-1] + bytes([made.ciphertext[-1] ^ 1])
    raises(errors.BadRequest, lambda: decrypt(client, sim.key, flipped), "ciphertext is invalid")
    raises(errors.BadRequest, lambda: decrypt(client, sim.key, b"short"), "verify that 'name'")
    empty = encrypt(client, sim.key, plaintext=b"")
    assert decrypt(client, sim.key, empty.ciphertext).plaintext == b""


def fields(sim):
    """No answer has a field that the published messages lack: the SDK itself would pass over one in silence."""

    def ask(path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{sim.url}/v1/{path}", data=data)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read().decode()

    sums = {"plaintext": b64(DEK), "plaintextCrc32c": crc32c(DEK), "additionalAuthenticatedDataCrc32c": "0"}
    made = ask(f"{sim.key}:encrypt", sums)
    sealed = {"ciphertext": json.loads(made)["ciphertext"]}
    for message, text in [
        (kms_v1.EncryptResponse, made),
        (kms_v1.DecryptResponse, ask(f"{sim.key}:decrypt", sealed)),
        (kms_v1.CryptoKey, ask(sim.key)),
        (kms_v1.CryptoKeyVersion, ask(f"{sim.key}/cryptoKeyVersions/1")),
        (kms_v1.ListCryptoKeyVersionsResponse, ask(f"{sim.key}/cryptoKeyVersions")),
        (kms_v1.ListCryptoKeysResponse, ask(f"{sim.key_ring}/cryptoKeys")),
        (kms_v1.KeyRing, ask(sim.key_ring)),
    ]:
        message.from_json(text, ignore_unknown_fields=False)


def checksums(sim, client):
    wrong = dict(name=sim.key, plaintext=DEK, plaintext_crc32c=crc32c(DEK) ^ 1)
    raises(errors.BadRequest, lambda: client.encrypt(**wrong), "checksum in field plaintext_crc32c")
    wrong = dict(name=sim.key, plaintext=DEK, additional_authenticated_data_crc32c=1)
    raises(errors.BadRequest, lambda: client.encrypt(**wrong), "additional_authenticated_data_crc32c")
    unchecked = client.encrypt(name=sim.key, plaintext=DEK)
    assert not unchecked.verified_plaintext_crc32c
    wrong = dict(name=sim.key, ciphertext=unchecked.ciphertext, ciphertext_crc32c=1)
    raises(errors.BadRequest, lambda: client.decrypt(**wrong), "ciphertext_crc32c")


def limits(sim, client):
    raises(errors.BadRequest, lambda: encrypt(client, sim.key, plaintext=bytes(65537)), "too large")
    encrypt(client, sim.key, plaintext=bytes(65536))
    raises(errors.BadRequest, lambda: encrypt(client, sim.hsm_key, plaintext=bytes(8000), aad=bytes(193)), "too large")
    made = encrypt(client, sim.hsm_key, plaintext=bytes(8000), aad=bytes(192))
    assert made.protection_level == kms_v1.ProtectionLevel.HSM
    data = client.generate_random_bytes(
        location=sim.key_ring.split("/keyRings/")[0], length_bytes=32, protection_level=kms_v1.ProtectionLevel.HSM
    )
    assert len(data.data) == 32 and data.data_crc32c == crc32c(data.data)


def states(client, sim):
    key = sim.other_key
    version = f"{key}/cryptoKeyVersions/1"
    made = encrypt(client, key)

    def set_state(state):
        mask = field_mask_pb2.FieldMask(paths=["state"])
        return client.update_crypto_key_version(crypto_key_version={"name": version, "state": state}, update_mask=mask)

    assert set_state(State.DISABLED).state == State.DISABLED
    for act in (lambda: encrypt(client, key), lambda: decrypt(client, key, made.ciphertext)):
        refused = raises(errors.GoogleAPICallError, act, "is not enabled, current state is: DISABLED")
        assert refused.code == 400, refused
        assert refused.details[0]["violations"] == [{"type": "KEY_DISABLED", "subject": version}]
    assert client.get_crypto_key(name=key).primary.state == State.DISABLED
    raises(errors.GoogleAPICallError, lambda: set_state(State.DESTROYED), "can only be set to")
    assert set_state(State.ENABLED).state == State.ENABLED
    assert decrypt(client, key, made.ciphertext).plaintext == DEK
    doomed = client.destroy_crypto_key_version(name=version)
    assert doomed.state == State.DESTROY_SCHEDULED and doomed.destroy_time
    raises(errors.GoogleAPICallError, lambda: decrypt(client, key, made.ciphertext), "DESTROY_SCHEDULED")
    assert client.restore_crypto_key_version(name=version).state == State.DISABLED
    set_state(State.ENABLED)
    assert decrypt(client, key, made.ciphertext).plaintext == DEK
    client.destroy_crypto_key_version(name=version)
    sim.advance(30 * 24 * 3600 + 1)
    gone = client.get_crypto_key_version(name=version)
    assert gone.state == State.DESTROYED and gone.destroy_event_time
    raises(errors.GoogleAPICallError, lambda: decrypt(client, key, made.ciphertext), "DESTROYED")
    raises(errors.GoogleAPICallError, lambda: client.restore_crypto_key_version(name=version))


def primaries(client, sim):
    key = sim.key
    before = encrypt(client, key)
    second = client.create_crypto_key_version(parent=key, crypto_key_version={})
    assert second.name.endswith("/2") and encrypt(client, key).name.endswith("/1")
    client.update_crypto_key_primary_version(name=key, crypto_key_version_id="2")
    assert encrypt(client, key).name == second.name
    opened = decrypt(client, key, before.ciphertext)
    assert opened.plaintext == DEK and not opened.used_primary
    assert encrypt(client, f"{key}/cryptoKeyVersions/1").name.endswith("/1")
    sim.version("phi-kek", "1", "disable")
    listed = client.list_crypto_key_versions(parent=key)
    assert [version.state for version in listed] == [State.DISABLED, State.ENABLED]
    assert [v.name for v in client.list_crypto_key_versions(parent=key, filter="state=ENABLED")] == [second.name]
    assert len(list(client.list_crypto_key_versions(parent=key, page_size=1))) == 2
    raises(
        errors.GoogleAPICallError,
        lambda: client.update_crypto_key_primary_version(name=key, crypto_key_version_id="1"),
        "not enabled",
    )
    sim.version("phi-kek", "1", "enable")
    raises(errors.NotFound, lambda: client.get_crypto_key_version(name=f"{key}/cryptoKeyVersions/9"), "not found")


def administration(sim, client):
    made = client.create_crypto_key(
        parent=sim.key_ring,
        crypto_key_id="fresh",
        crypto_key={"purpose": kms_v1.CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT, "labels": {"team": "phi"}},
    )
    assert made.primary.state == State.ENABLED and made.labels["team"] == "phi"
    assert made.destroy_scheduled_duration == datetime.timedelta(days=30)
    assert made.name in [key.name for key in client.list_crypto_keys(parent=sim.key_ring)]
    raises(
        errors.Conflict,
        lambda: client.create_crypto_key(
            parent=sim.key_ring,
            crypto_key_id="fresh",
            crypto_key={"purpose": kms_v1.CryptoKey.CryptoKeyPurpose.ENCRYPT_DECRYPT},
        ),
    )
    raises(errors.NotFound, lambda: encrypt(client, sim.key_ring + "/cryptoKeys/nothing"), "not found")
    assert client.get_key_ring(name=sim.key_ring).name == sim.key_ring


def credentials_checked(sim):
    sim.switch("require_token", True)
    stranger, known = Client(sim, "wrong"), Client(sim, sim.token)
    raises(errors.Unauthorized, lambda: stranger.get_crypto_key(name=sim.key), "invalid authentication credentials")
    assert known.get_crypto_key(name=sim.key).name == sim.key
    # google-auth answers one 401 by refreshing the token and asking again.
    sim.fault("expired_token", operation="get_key")
    sim.reset_calls()
    assert known.get_crypto_key(name=sim.key).name == sim.key
    assert sim.calls() == {"get_key": 2}
    sim.switch("require_token", False)


def faults(sim, client):
    for kind, error in [
        ("throttle", errors.TooManyRequests),
        ("internal", errors.InternalServerError),
        ("unavailable", errors.ServiceUnavailable),
        ("forbidden", errors.Forbidden),
        ("not_found", errors.NotFound),
    ]:
        sim.fault(kind, operation="encrypt", key="phi-kek")
        raises(error, lambda: encrypt(client, sim.key))
    made = encrypt(client, sim.key)
    sim.fault("corrupt_crc", operation="encrypt")
    assert (spoiled := encrypt(client, sim.key)).ciphertext_crc32c != crc32c(spoiled.ciphertext)
    sim.fault("unverified", operation="encrypt")
    assert not encrypt(client, sim.key).verified_plaintext_crc32c
    sim.fault("corrupt_bytes", operation="decrypt")
    spoiled = decrypt(client, sim.key, made.ciphertext)
    assert spoiled.plaintext != DEK and spoiled.plaintext_crc32c != crc32c(spoiled.plaintext)
    sim.fault("other_plaintext", operation="decrypt")
    spoiled = decrypt(client, sim.key, made.ciphertext)
    assert spoiled.plaintext != DEK and spoiled.plaintext_crc32c == crc32c(spoiled.plaintext)
    sim.fault("other_version", operation="encrypt")
    assert encrypt(client, sim.key).name.endswith("/999")
    # The SDK's own retry policy meets a passing fault.
    sim.fault("unavailable", operation="decrypt", times=2)
    policy = retries.Retry(
        predicate=retries.if_exception_type(errors.ServiceUnavailable), initial=0.01, maximum=0.05, timeout=10
    )
    request = dict(name=sim.key, ciphertext=made.ciphertext, additional_authenticated_data=AAD)
    sim.reset_calls()
    assert client.kms.decrypt(request=request, retry=policy).plaintext == DEK
    assert sim.calls() == {"decrypt": 3}


def wrap(sim, request):
    made = encrypt(Client(sim), request["key"], unb64(request["plaintext"]), unb64(request["aad"]))
    return {"ciphertext": b64(made.ciphertext), "version": made.name}


def unwrap(sim, request):
    opened = decrypt(Client(sim), request["key"], unb64(request["ciphertext"]), unb64(request["aad"]))
    return {"plaintext": b64(opened.plaintext)}


if __name__ == "__main__":
    main(check, wrap, unwrap)
