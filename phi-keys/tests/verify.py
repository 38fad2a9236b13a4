"""An independent implementation of SPEC.md, in plain Python without packages.

    verify.py vectors        prints tests/vectors/v1.json
    verify.py store FOLDER   opens a whole key store with its keyring, or both of them, and checks it against what
                             FOLDER/expected.json says
    verify.py passphrase FOLDER PASSPHRASE
                             opens FOLDER/keyring-passphrase; Argon2id is that of the package `cryptography`, because in plain
                             Python it would take minutes
    verify.py certificate FILE PUBLIC-KEY
                             checks a certificate of destruction with a public key in hexadecimal digits

It is written to be read beside the specification. It is slow, and not constant-time: never use it on real keys. The
ciphers are those of phi-crypto's verifier, which checks them against the standards' known answers; the curve of Ed25519 is that of
phi-audit's.
"""

import base64
import hashlib
import hmac
import importlib.util
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent


def load(crate):
    spec = importlib.util.spec_from_file_location(crate, HERE.parent.parent / crate / "tests" / "verify.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


f1 = load("phi-crypto")

# --- section 1: conventions ----------------------------------------------------------------------------------------


def expand(key, label, info=b""):
    label = label.encode()
    return hmac.new(key, bytes([len(label)]) + label + info + b"\x01", hashlib.sha256).digest()


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()


def tlv(domain, fields):
    tags = [tag for tag, _ in fields]
    assert len(fields) <= 255 and tags == sorted(tags)
    out = domain.encode() + bytes([len(fields)])
    for tag, value in fields:
        out += bytes([tag]) + len(value).to_bytes(4, "big") + value
    return out


def read_tlv(domain, data):
    assert data.startswith(domain.encode())
    data = data[len(domain) :]
    count, data, fields = data[0], data[1:], []
    for _ in range(count):
        size = int.from_bytes(data[1:5], "big")
        fields.append((data[0], data[5 : 5 + size]))
        data = data[5 + size :]
    assert data == b""
    return fields


# --- section 2: ids ------------------------------------------------------------------------------------------------


def full_id(key):
    return expand(key, "phi/v1/kid")


# --- section 3: F1 -------------------------------------------------------------------------------------------------


def seal(key, label, suite, salt, nonce, aad, plaintext):
    message_key = expand(key, label, bytes([suite]) + salt)
    ciphertext, tag = f1.CIPHERS[suite](message_key, nonce, aad, plaintext, True)
    return bytes([suite]) + full_id(key)[:16] + salt + nonce + ciphertext + tag


def open_sealed(key, label, aad, sealed):
    suite, kid, salt, nonce = sealed[0], sealed[1:17], sealed[17:29], sealed[29:41]
    assert len(sealed) >= 57 and kid == full_id(key)[:16]
    message_key = expand(key, label, bytes([suite]) + salt)
    plaintext, tag = f1.CIPHERS[suite](message_key, nonce, aad, sealed[41:-16], False)
    assert tag == sealed[-16:], "the value does not open"
    return plaintext


# --- section 4: key rows -------------------------------------------------------------------------------------------

FIELDS = ("kind", "tenant", "key_use", "scope", "version", "full_id", "parent", "state", "created", "wrapped")
SIZES = {"kind": 1, "key_use": 1, "version": 4, "state": 1, "created": 8}


def raw(row, name):
    value = row[name]
    if name == "tenant":
        return value.encode()
    return value.to_bytes(SIZES[name], "big", signed=name == "created") if name in SIZES else bytes.fromhex(value)


def more(row):
    """The further fields; a store from before there were any has none."""
    return read_tlv("", bytes.fromhex(row["more"])) if row.get("more") else []


def row_mac(root_key, row):
    fields = [(i, raw(row, n)) for i, n in enumerate(FIELDS, 1)] + more(row)
    return mac(expand(root_key, "phi/v1/row-mac"), tlv("phi/row/v1", fields))


def tombstone_chain(rows):
    tombstones = [(int.from_bytes(dict(more(row)).get(12, b""), "big"), bytes.fromhex(row["mac"])) for row in rows if row["kind"] == 3]
    chain = bytes(32)
    for _, row in sorted(tombstones):
        chain = hashlib.sha256(b"phi/tombstones/v1" + chain + row).digest()
    return chain


def wrap_aad(row):
    names = ((1, "kind"), (2, "tenant"), (3, "key_use"), (4, "scope"), (5, "full_id"), (6, "version"))
    # A domain key has no scope: the element is absent, not empty.
    return tlv("phi/wrap/v1", [(tag, raw(row, name)) for tag, name in names if name != "scope" or row["scope"]])


def pseudonym(root_key, tenant, kind, name):
    message = tlv("phi/scope/v1", [(1, tenant.encode()), (2, bytes([kind])), (3, name.encode())])
    return mac(expand(root_key, "phi/v1/pseudonym"), message)


def unwrap_key(parent, row, wrapped):
    key = open_sealed(parent, "phi/v1/wrap", wrap_aad(row), wrapped)
    assert full_id(key).hex() == row["full_id"], "another key than the row names"
    return key


# --- section 5: wrapped carriers -----------------------------------------------------------------------------------


def write_carrier(kek_id, kek_version, algorithm, binding, blob):
    out = bytes([1, binding])
    for part in (kek_id.encode(), kek_version.encode(), algorithm.encode(), blob):
        out += len(part).to_bytes(2, "big") + part
    return out


def read_carrier(data):
    assert data[0] == 1 and data[1] in (1, 2)
    binding, data, parts = data[1], data[2:], []
    for _ in range(4):
        size = int.from_bytes(data[:2], "big")
        parts.append(data[2 : 2 + size])
        data = data[2 + size :]
    assert data == b""
    return parts[0].decode(), parts[1].decode(), parts[2].decode(), binding, parts[3]


def carrier_key(carrier, context, kek_id, algorithm, binding):
    info = tlv("phi/carrier/v1", [(1, context), (2, kek_id.encode()), (3, bytes([binding])), (4, algorithm.encode())])
    return expand(carrier, "phi/v1/carrier", info)


def unwrap_domain(rings, row):
    """Every copy opens to the same key, and there is one for each keyring."""
    data = bytes.fromhex(row["wrapped"])
    count, data, copies = data[0], data[1:], []
    for _ in range(2 * count):
        size = int.from_bytes(data[:4], "big")
        copies.append(data[4 : 4 + size])
        data = data[4 + size :]
    assert data == b"" and count == len(rings)
    context, keys = hashlib.sha256(wrap_aad(row)).digest(), {}
    for wrapped, sealed in zip(copies[::2], copies[1::2]):
        kek_id, kek_version, algorithm, binding, blob = read_carrier(wrapped)
        assert algorithm == "" and binding == 2
        carrier = open_sealed(rings[kek_id]["keks"][int(kek_version)], "phi/v1/wrap", context, blob)
        keys[kek_id] = unwrap_key(carrier_key(carrier, context, kek_id, algorithm, binding), row, sealed)
    assert keys.keys() == rings.keys() and len(set(keys.values())) == 1
    return next(iter(keys.values()))


# --- section 6: the keyring file -----------------------------------------------------------------------------------


def unlock_by_key_file(data, key_file):
    assert data[9] == 2 and data[10:22] == bytes(12), "not a keyring under a key file"
    prefix, encoded = key_file.decode().strip().split(":")
    assert prefix == "phi-key-file-1"
    return expand(base64.b64decode(encoded), "phi/v1/keyring-unlock", data[22:38])


def unlock_by_passphrase(data, passphrase):
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    assert data[9] == 1, "not a keyring under a passphrase"
    memory, passes, lanes = (int.from_bytes(data[at : at + 4], "big") for at in (10, 14, 18))
    assert 19 * 1024 <= memory <= 1024 * 1024 and 2 <= passes <= 16 and 1 <= lanes <= 16, "parameters out of bounds"
    kdf = Argon2id(salt=data[22:38], length=32, iterations=passes, lanes=lanes, memory_cost=memory)
    return kdf.derive(passphrase.encode())


def read_keyring(data, unlock):
    assert data[:8] == b"PHIKEYS\n" and data[8] == 1, "not a keyring"
    assert full_id(unlock) == data[38:70], "another key file or passphrase"
    size = int.from_bytes(data[70:74], "big")
    assert len(data) == 74 + size + 32 and hashlib.sha256(data[:-32]).digest() == data[-32:], "damaged"
    ring = {"kek_id": None, "pin": None, "keks": {}}
    for tag, value in read_tlv("phi/keyring/v1", open_sealed(unlock, "phi/v1/keyring", data[:74], data[74:-32])):
        if tag == 1:
            ring["kek_id"] = value.decode()
        elif tag == 2:
            ring["pin"] = value
        else:
            assert tag == 3 and len(value) == 36
            ring["keks"][int.from_bytes(value[:4], "big")] = value[4:]
    return ring


# --- section 10: the anchor ----------------------------------------------------------------------------------------


def anchor_record(root_key, fields):
    message = tlv("phi/anchor/v1", fields)
    return message + mac(expand(root_key, "phi/v1/anchor"), message)


def anchor_file(records):
    length = lambda n: n.to_bytes(4, "big") + (n ^ 0xFFFFFFFF).to_bytes(4, "big")
    frames = (length(len(r)) + r + hashlib.sha256(r).digest()[:8] for r in records)
    return b"PHIANCH\n\x01" + b"".join(frames)


# --- section 11: certificates of destruction -----------------------------------------------------------------------

FIXED = ("store", "tenant", "scope", "generation", "deleted", "unreadable-live-since", "irrecoverable-after")


def certificate_text(fields, keys, residues, signer):
    lines = ["phi-keys certificate of destruction v1"] + [f"{name} {fields[name]}" for name in FIXED]
    lines += [f"key {key}" for key in keys] + [f"residue {residue}" for residue in residues]
    return "\n".join(lines + ["residue backups", f"signer Ed25519 {signer}"]) + "\n"


def check_certificate(text, public_key):
    signed, _, tail = text.partition("\n\n")
    signed += "\n"
    assert tail.startswith("signature ") and tail.endswith("\n") and tail.count("\n") == 1
    lines = [line.split(" ", 1) for line in signed.splitlines()[1:]]
    fields = dict(line for line in lines if line[0] not in ("key", "residue"))
    keys = [value for name, value in lines if name == "key"]
    residues = [value for name, value in lines if name == "residue"]
    assert residues[-1] == "backups" and fields["signer"] == "Ed25519 " + public_key.hex()
    assert signed == certificate_text(fields, keys, residues[:-1], public_key.hex()), "not as it is written"
    signature = base64.b64decode(tail[len("signature ") : -1], validate=True)
    assert load("phi-audit").ed25519_verify(public_key, signed.encode(), signature), "not signed"


def ed25519_sign(seed, message):
    curve = load("phi-audit")

    def compress(point):
        x, y, z, _ = point
        inverse = pow(z, -1, curve.P)
        return ((y * inverse % curve.P) | ((x * inverse % curve.P) & 1) << 255).to_bytes(32, "little")

    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    public = compress(curve.multiply(scalar, curve.G))
    r = int.from_bytes(hashlib.sha512(digest[32:] + message).digest(), "little") % curve.L
    start = compress(curve.multiply(r, curve.G))
    challenge = int.from_bytes(hashlib.sha512(start + public + message).digest(), "little") % curve.L
    return public, start + ((r + challenge * scalar) % curve.L).to_bytes(32, "little")


# --- a whole store -------------------------------------------------------------------------------------------------


def ed25519_public(seed):
    """RFC 8032, section 5.1.5."""
    curve = load("phi-audit")
    scalar = int.from_bytes(hashlib.sha512(seed).digest()[:32], "little") & ~7 & ~(1 << 255) | 1 << 254
    x, y, z, _ = curve.multiply(scalar, curve.G)
    inverse = pow(z, curve.P - 2, curve.P)
    x, y = x * inverse % curve.P, y * inverse % curve.P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def check_store(folder):
    rings = {}
    for keyring, key_file in (("keyring", "key-file"), ("keyring-2", "key-file-2")):
        if (folder / keyring).exists():
            data = (folder / keyring).read_bytes()
            ring = read_keyring(data, unlock_by_key_file(data, (folder / key_file).read_bytes()))
            rings[ring["kek_id"]] = ring
    rows = json.loads((folder / "rows.json").read_text())
    expected = json.loads((folder / "expected.json").read_text())

    root_row = next(row for row in rows if row["kind"] == 1 and row["key_use"] == 1)
    root = unwrap_domain(rings, root_row)
    assert all(full_id(root) == ring["pin"] for ring in rings.values()) and full_id(root).hex() == expected["fingerprint"]
    for row in rows:
        assert row_mac(root, row).hex() == row["mac"], "a row is not authentic"

    domains = {row["full_id"]: unwrap_domain(rings, row) for row in rows if row["kind"] == 1}
    generation = bytes.fromhex(next(row for row in rows if row["kind"] == 4)["wrapped"])
    digest = hashlib.sha256(b"phi/domains/v1" + b"".join(sorted(bytes.fromhex(name) for name in domains))).digest()
    assert generation[:40] == expected["generation"].to_bytes(8, "big") + digest
    assert generation[40:] in (b"", tombstone_chain(rows))

    for case in expected["domain_keys"]:
        row = next(r for r in rows if r["kind"] == 1 and r["key_use"] == case["key_use"] and r["tenant"] == expected["tenant"])
        assert expand(domains[row["full_id"]], "phi/v1/bidx", b"golden").hex() == case["derived"]
    for case in expected["data_keys"]:
        scope = pseudonym(root, expected["tenant"], case["scope_kind"], case["scope"]).hex()
        row = next(r for r in rows if r["kind"] == 2 and r["scope"] == scope)
        assert row["full_id"][:32] == case["kid"]
        key = unwrap_key(domains[row["parent"]], row, bytes.fromhex(row["wrapped"]))
        assert expand(key, "phi/v1/field", b"golden").hex() == case["derived"]
    for case in expected["shredded"]:
        scope = pseudonym(root, expected["tenant"], 1, case["scope"]).hex()
        assert [(r["kind"], r["wrapped"]) for r in rows if r["scope"] == scope] == [(3, "".join(case["full_ids"]))]
    session = next(r for r in rows if r["kind"] == 1 and r["key_use"] == 5)
    assert expand(domains[session["full_id"]], "phi/v1/session").hex() == expected["session_key"]
    audit = next(r for r in rows if r["kind"] == 1 and r["key_use"] == 4)
    seed = expand(domains[audit["full_id"]], "phi/v1/ed25519", b"audit")
    assert ed25519_public(seed).hex() == expected["audit_signer"]


# --- vectors -------------------------------------------------------------------------------------------------------


def make_vectors():
    f1.self_test()
    pattern = lambda start, size: bytes((start + i) % 256 for i in range(size))
    labels = ["phi/v1/kid", "phi/v1/wrap", "phi/v1/carrier", "phi/v1/row-mac", "phi/v1/pseudonym", "phi/v1/field"]
    labels += ["phi/v1/keyring", "phi/v1/keyring-unlock", "phi/v1/bidx", "phi/v1/ed25519", "phi/v1/session"]
    derived = []
    for i, label in enumerate(labels):
        key, info = pattern(i, 32), pattern(0x80, 5 * i)
        derived.append({"key": key.hex(), "label": label, "info": info.hex(), "derived": expand(key, label, info).hex()})
    lists = []
    for fields in ([], [(1, b"")], [(1, b"clinic"), (2, b"Patient"), (9, bytes(300))], [(255, b"\x00\xff")]):
        encoded = tlv("phi/test/v1", fields)
        lists.append({"fields": [[tag, value.hex()] for tag, value in fields], "encoded": encoded.hex()})
    sealed = []
    for suite in (1, 2):
        for size in (0, 1, 32, 100):
            key, salt, nonce = pattern(size + suite, 32), pattern(0x40, 12), pattern(0x60, 12)
            value = seal(key, "phi/v1/wrap", suite, salt, nonce, pattern(0x10, size), pattern(0x20, size))
            case = {"suite": suite, "key": key.hex(), "kid": full_id(key)[:16].hex(), "salt": salt.hex()}
            case |= {"nonce": nonce.hex(), "aad": pattern(0x10, size).hex(), "plaintext": pattern(0x20, size).hex()}
            sealed.append(case | {"sealed": value.hex(), "text": f1.to_text(value)})
    carriers = []
    kinds = (("local:3f", "12", "", 2, 89), ("azure:vault/k", "7f", "RSA-OAEP-256", 1, 256), ("", "", "", 1, 0))
    for i, (kek_id, version, algorithm, binding, size) in enumerate(kinds):
        carrier, context, blob = pattern(i, 32), pattern(0x50 + i, 32), pattern(3, size)
        case = {"kek_id": kek_id, "kek_version": version, "algorithm": algorithm, "binding": binding, "blob": blob.hex()}
        case |= {"bytes": write_carrier(kek_id, version, algorithm, binding, blob).hex(), "carrier": carrier.hex()}
        key = carrier_key(carrier, context, kek_id, algorithm, binding)
        carriers.append(case | {"context": context.hex(), "carrier_key": key.hex()})
    root = pattern(0x11, 32)
    rows = []
    for kind, further in ((2, [(11, (1 << 50).to_bytes(8, "big")), (13, (3).to_bytes(8, "big"))]), (2, []), (3, [(12, (7).to_bytes(8, "big"))])):
        row = {"kind": kind, "tenant": "clinic é", "key_use": 2, "scope": pattern(0x22, 32).hex(), "version": 2 * (kind == 2)}
        row |= {"full_id": pattern(1, 32).hex(), "parent": pattern(2, 32).hex()} if kind == 2 else {"full_id": "", "parent": ""}
        row |= {"state": 3 if kind == 2 else 5, "created": -5, "wrapped": pattern(9, 64).hex()}
        row["more"] = tlv("", further).hex() if further else ""
        rows.append(row | {"mac": row_mac(root, row).hex()})
    ids = pattern(0x80, 64)
    revision = lambda start, number: pattern(start, 16) + number.to_bytes(8, "big") + pattern(start + 16, 8)
    replaced = lambda accepted, rows: [(1, b"\x04"), (2, (9).to_bytes(8, "big")), (7, rows), (8, accepted.to_bytes(4, "big"))]
    shredded = [(1, b"\x02"), (2, (7).to_bytes(8, "big")), (3, "clinic é".encode()), (4, b"\x02"), (5, pattern(0x22, 32)), (6, ids)]
    records = [
        anchor_record(root, [(1, b"\x01"), (2, (6).to_bytes(8, "big"))]),
        anchor_record(root, shredded),
        anchor_record(root, shredded[:5] + [(6, b"")]),
        anchor_record(root, [(1, b"\x03"), (2, (9).to_bytes(8, "big")), (6, ids[:32])]),
        anchor_record(root, replaced(0, revision(0x50, 1) + revision(0x60, 2))),
        anchor_record(root, [(1, b"\x05"), (2, (9).to_bytes(8, "big"))]),
        anchor_record(root, replaced(1, revision(0x60, 1 << 40))),
        anchor_record(root, replaced(0, revision(0x60, 1 << 41))),
    ]
    anchor = {"root": root.hex(), "mac_key": expand(root, "phi/v1/anchor").hex(), "records": [r.hex() for r in records]}
    anchor["file"] = anchor_file(records).hex()
    certificates = []
    for keys, residues in ([], []), ([ids[:32].hex(), ids[32:].hex()], ["write-ahead-log", "dead-tuples", "archived-log", "replicas"]):
        fields = {"store": root.hex(), "tenant": "clinic é", "scope": pattern(0x22, 32).hex(), "generation": "12"}
        fields["deleted"] = "2026-01-01T00:00:00.000001Z"
        fields["unreadable-live-since"] = "2026-01-01T01:00:00.000001Z"
        fields["irrecoverable-after"] = "2026-02-05T00:00:00.000001Z"
        seed = pattern(len(keys), 32)
        public = ed25519_sign(seed, b"")[0]
        text = certificate_text(fields, keys, residues, public.hex())
        text += "\nsignature " + base64.b64encode(ed25519_sign(seed, text.encode())[1]).decode() + "\n"
        check_certificate(text, public)
        certificates.append({"public_key": public.hex(), "text": text})
    return {
        "expand": derived,
        "tlv": lists,
        "f1_under_phi_v1_wrap": sealed,
        "wrapped_carriers": carriers,
        "rows": {"root": root.hex(), "rows": rows},
        "anchor": anchor,
        "certificates": certificates,
    }


if __name__ == "__main__":
    if sys.argv[1:] == ["vectors"]:
        print(json.dumps(make_vectors(), indent=1))
    elif len(sys.argv) == 3 and sys.argv[1] == "store":
        check_store(pathlib.Path(sys.argv[2]))
        print("ok")
    elif len(sys.argv) == 4 and sys.argv[1] == "passphrase":
        content = (pathlib.Path(sys.argv[2]) / "keyring-passphrase").read_bytes()
        print(read_keyring(content, unlock_by_passphrase(content, sys.argv[3]))["kek_id"])
    elif len(sys.argv) == 4 and sys.argv[1] == "certificate":
        check_certificate(pathlib.Path(sys.argv[2]).read_bytes().decode(), bytes.fromhex(sys.argv[3]))
        print("ok")
    else:
        sys.exit(__doc__)
