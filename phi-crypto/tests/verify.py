"""An independent implementation of SPEC.md, in plain Python without packages.

    verify.py vectors        prints tests/vectors/v1.json
    verify.py padded         prints tests/vectors/v1-padded.json
    verify.py open FILE      opens every value of FILE, as vectors are written, and checks its tags
    verify.py seal COUNT     prints COUNT freshly sealed values with random keys, contexts and plaintexts

It is written to be read beside the specification. It is slow, and not constant-time: never use it on patients' data.
"""

import hashlib
import hmac
import json
import os
import random
import sys

# --- AES-256-GCM: FIPS 197 and NIST SP 800-38D ---------------------------------------------------------------------


def _sbox():
    box, p, q = [0] * 256, 1, 1
    while True:
        p = (p ^ (p << 1) ^ (0x1B if p & 0x80 else 0)) & 0xFF  # times 3
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q = (q ^ (0x09 if q & 0x80 else 0)) & 0xFF  # divided by 3
        rotl = lambda n: ((q << n) | (q >> (8 - n))) & 0xFF
        box[p] = q ^ rotl(1) ^ rotl(2) ^ rotl(3) ^ rotl(4) ^ 0x63
        if p == 1:
            box[0] = 0x63
            return box


SBOX = _sbox()


def _double(byte):
    return ((byte << 1) ^ (0x1B if byte & 0x80 else 0)) & 0xFF


def aes256_round_keys(key):
    words = [list(key[i : i + 4]) for i in range(0, 32, 4)]
    rcon = 1
    for i in range(8, 60):
        word = list(words[-1])
        if i % 8 == 0:
            word = [SBOX[b] for b in word[1:] + word[:1]]
            word[0] ^= rcon
            rcon = _double(rcon)
        elif i % 8 == 4:
            word = [SBOX[b] for b in word]
        words.append([a ^ b for a, b in zip(words[i - 8], word)])
    return [sum(words[i : i + 4], []) for i in range(0, 60, 4)]


def aes_block(round_keys, block):
    state = [a ^ b for a, b in zip(block, round_keys[0])]
    for number, round_key in enumerate(round_keys[1:], 1):
        state = [SBOX[b] for b in state]
        state = [state[(i + 4 * (i % 4)) % 16] for i in range(16)]  # ShiftRows, columns first
        if number < len(round_keys) - 1:  # MixColumns, but for the last round
            mixed = []
            for c in range(0, 16, 4):
                a = state[c : c + 4]
                every = a[0] ^ a[1] ^ a[2] ^ a[3]
                mixed += [a[i] ^ every ^ _double(a[i] ^ a[(i + 1) % 4]) for i in range(4)]
            state = mixed
        state = [a ^ b for a, b in zip(state, round_key)]
    return bytes(state)


def _ghash(subkey, data):
    y = 0
    for i in range(0, len(data), 16):
        x, z, v = y ^ int.from_bytes(data[i : i + 16], "big"), 0, subkey
        for bit in range(127, -1, -1):
            if x >> bit & 1:
                z ^= v
            v = v >> 1 ^ (0xE1 << 120 if v & 1 else 0)
        y = z
    return y


def _pad16(data):
    return data + bytes(-len(data) % 16)


def _gcm(key, nonce, aad, data, sealing):
    round_keys = aes256_round_keys(key)
    block = lambda counter: aes_block(round_keys, nonce + counter.to_bytes(4, "big"))
    stream = b"".join(block(2 + i) for i in range(-(-len(data) // 16)))
    result = bytes(a ^ b for a, b in zip(data, stream))
    ciphertext = result if sealing else data
    lengths = (8 * len(aad)).to_bytes(8, "big") + (8 * len(ciphertext)).to_bytes(8, "big")
    subkey = int.from_bytes(aes_block(round_keys, bytes(16)), "big")
    digest = _ghash(subkey, _pad16(aad) + _pad16(ciphertext) + lengths).to_bytes(16, "big")
    return result, bytes(a ^ b for a, b in zip(digest, block(1)))


# --- ChaCha20-Poly1305: RFC 8439 -----------------------------------------------------------------------------------


def _chacha20_block(key, counter, nonce):
    words = lambda data: [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
    start = words(b"expand 32-byte k") + words(key) + [counter] + words(nonce)
    s = list(start)

    def quarter(a, b, c, d):
        for x, y, z, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            s[x] = (s[x] + s[y]) & 0xFFFFFFFF
            mixed = s[z] ^ s[x]
            s[z] = (mixed << n | mixed >> (32 - n)) & 0xFFFFFFFF

    for _ in range(10):
        for i in range(4):
            quarter(i, i + 4, i + 8, i + 12)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return b"".join(((a + b) & 0xFFFFFFFF).to_bytes(4, "little") for a, b in zip(s, start))


def _poly1305(key, data):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(data), 16):
        total = (total + int.from_bytes(data[i : i + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


def _chacha(key, nonce, aad, data, sealing):
    stream = b"".join(_chacha20_block(key, 1 + i, nonce) for i in range(-(-len(data) // 64)))
    result = bytes(a ^ b for a, b in zip(data, stream))
    ciphertext = result if sealing else data
    lengths = len(aad).to_bytes(8, "little") + len(ciphertext).to_bytes(8, "little")
    one_time = _chacha20_block(key, 0, nonce)[:32]
    return result, _poly1305(one_time, _pad16(aad) + _pad16(ciphertext) + lengths)


CIPHERS = {0x01: _gcm, 0x02: _chacha, 0x11: _gcm, 0x12: _chacha}

# --- SPEC.md section 1: conventions --------------------------------------------------------------------------------


def expand(key, label, info):
    label = label.encode()
    return hmac.new(key, bytes([len(label)]) + label + info + b"\x01", hashlib.sha256).digest()


def tlv(elements):
    assert len(elements) <= 255
    out = bytes([len(elements)])
    for tag, value in elements:
        out += bytes([tag]) + len(value).to_bytes(4, "big") + value
    return out


def kid(key):
    return expand(key, "phi/v1/kid", b"")[:16]


# --- section 2: context --------------------------------------------------------------------------------------------


def aad(context):
    elements = []
    for tag, name in ((1, "tenant"), (2, "record_type"), (3, "field"), (4, "record_id"), (5, "subject")):
        if name in context:
            elements.append((tag, context[name].encode()))
    if "row_version" in context:
        elements.append((6, context["row_version"].to_bytes(8, "big")))
    pairs = sorted((key.encode(), value.encode()) for key, value in context.get("pairs", []))
    assert len({key for key, _ in pairs}) == len(pairs), "a key is given twice"
    elements += [(7, len(key).to_bytes(4, "big") + key + value) for key, value in pairs]
    return b"phi/aad/v1" + tlv(elements)


# --- section 3: sealed field ---------------------------------------------------------------------------------------


class Refused(Exception):
    pass


class NotSealed(Exception):
    pass


def message_key(data_key, suite, salt):
    return expand(data_key, "phi/v1/field", bytes([suite]) + salt)


def padded(suite, plaintext, padding):
    """What enters the cipher: `padding` bytes more than the plaintext under a padded suite."""
    return plaintext + b"\x80" + bytes(padding - 1) if suite in (0x11, 0x12) else plaintext


def seal(data_key, suite, salt, nonce, context, plaintext, padding=1):
    key = message_key(data_key, suite, salt)
    ciphertext, tag = CIPHERS[suite](key, nonce, aad(context), padded(suite, plaintext, padding), True)
    return bytes([suite]) + kid(data_key) + salt + nonce + ciphertext + tag


def open_sealed(data_key, context, sealed):
    if len(sealed) < 57 or sealed[0] not in CIPHERS:
        raise NotSealed
    suite, salt, nonce = sealed[0], sealed[17:29], sealed[29:41]
    if sealed[1:17] != kid(data_key):
        raise Refused
    message, tag = CIPHERS[suite](message_key(data_key, suite, salt), nonce, aad(context), sealed[41:-16], False)
    if not hmac.compare_digest(tag, sealed[-16:]):
        raise Refused
    if suite in (0x01, 0x02):
        return message
    plaintext = message.rstrip(b"\0")
    if plaintext[-1:] != b"\x80":
        raise Refused
    return plaintext[:-1]


def hedged_nonces(case):
    """The nonces of the messages of one batch."""
    data_key, random_bytes = bytes.fromhex(case["data_key"]), bytes.fromhex(case["random"])
    nonce_key = expand(data_key, "phi/v1/nonce", bytes([case["suite"]]) + bytes.fromhex(case["salt"]))
    nonces = []
    for i, message in enumerate(case["messages"]):
        last = (int.from_bytes(random_bytes[16:], "big") + i) % 2**128
        text = padded(case["suite"], bytes.fromhex(message["plaintext"]), message["padding"])
        hashed = random_bytes[:16] + last.to_bytes(16, "big") + aad(message["context"]) + text
        nonces.append(hmac.new(nonce_key, hashed, hashlib.sha256).digest()[:12].hex())
    return nonces


# --- section 4: text form ------------------------------------------------------------------------------------------

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def to_text(sealed):
    bits = "".join(f"{byte:08b}" for byte in sealed)
    bits += "0" * (-len(bits) % 6)
    return "phi1." + "".join(ALPHABET[int(bits[i : i + 6], 2)] for i in range(0, len(bits), 6))


# --- section 5: blind index ----------------------------------------------------------------------------------------

WHITE_SPACE = "\t\n\x0b\x0c\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
WHITE_SPACE += "\u2028\u2029\u202f\u205f\u3000"


def normalise(transform, value):
    if transform == 1:
        return value.encode()
    if transform == 2:
        return "".join(c for c in value if c in "0123456789").encode() or None
    if transform == 3:
        return value.strip(WHITE_SPACE).lower().encode() or None
    raise ValueError(transform)


def index_key(case):
    parts = [case[name].encode() for name in ("tenant", "record_type", "field", "index")] + [bytes([case["version"]])]
    return expand(bytes.fromhex(case["domain_key"]), "phi/v1/bidx", tlv(list(enumerate(parts, 1))))


def index_tag(case):
    value = normalise(case["transform"], case["value"])
    if value is None:
        return None
    mac = hmac.new(index_key(case), tlv([(1, bytes([case["transform"]])), (2, value)]), hashlib.sha256).digest()
    size = -(-case["bits"] // 8)
    kept = int.from_bytes(mac[:size], "big") >> (8 * size - case["bits"]) << (8 * size - case["bits"])
    return (bytes([case["version"]]) + kept.to_bytes(size, "big")).hex()


# --- section 7: vectors --------------------------------------------------------------------------------------------


def self_test():
    """Known answers of the standards, so that two mistakes here cannot agree with each other."""
    key = bytes.fromhex("feffe9928665731c6d6a8f9467308308" * 2)
    nonce = bytes.fromhex("cafebabefacedbaddecaf888")
    text = bytes.fromhex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
    )
    extra = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
    # "The Galois/Counter Mode of Operation", test case 16.
    assert _gcm(key, nonce, extra, text, True)[1].hex() == "76fc6ece0f4e1768cddf8853bb2d551b"
    # RFC 8439, section 2.8.2.
    text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it."
    extra, nonce = bytes.fromhex("50515253c0c1c2c3c4c5c6c7"), bytes.fromhex("070000004041424344454647")
    assert _chacha(bytes(range(0x80, 0xA0)), nonce, extra, text, True)[1].hex() == "1ae10b594f09e26a7e902ecbd0600691"


CONTEXTS = {
    "least": {"record_type": "Patient", "field": "name"},
    "every element": {
        "tenant": "clinic",
        "record_type": "Patient",
        "field": "name",
        "record_id": "22d6efc6-2dc7-4d9f-8f3a-0d2c1b7a9e55",
        "subject": "7431",
        "row_version": 18446744073709551615,
        "pairs": [["visit", "v-9"], ["station", "Ömer 2"], ["", "empty key"]],
    },
    "empty is not absent": {"record_type": "Patient", "field": "name", "record_id": ""},
    "negative number as text": {"record_type": "Visit", "field": "note", "record_id": "-9223372036854775808"},
    "no boundary moves": {"record_type": "Pati", "field": "entname"},
}


def make_vectors():
    pattern = lambda start, size: bytes((start + i) % 256 for i in range(size))
    plaintexts = [b"", b"Ada Lovelace", "Zoë 林".encode(), pattern(0, 64), pattern(7, 129)]
    fields = []
    for suite in (1, 2):
        for i, (name, context) in enumerate(CONTEXTS.items()):
            data_key, salt, nonce = pattern(17 * i + suite, 32), pattern(0x40 + i, 12), pattern(0x80 + i, 12)
            if i == 1:
                nonce = b"\xff" * 12
            sealed = seal(data_key, suite, salt, nonce, context, plaintexts[i])
            fields.append(
                {
                    "name": f"suite {suite}, {name}",
                    "data_key": data_key.hex(),
                    "kid": kid(data_key).hex(),
                    "suite": suite,
                    "salt": salt.hex(),
                    "nonce": nonce.hex(),
                    "context": context,
                    "message_key": message_key(data_key, suite, salt).hex(),
                    "plaintext": plaintexts[i].hex(),
                    "sealed": sealed.hex(),
                    "text": to_text(sealed),
                }
            )
    good = fields[1]
    sealed, refused = bytes.fromhex(good["sealed"]), []

    def refuse(name, why, value, context=good["context"], data_key=good["data_key"]):
        refused.append({"name": name, "why": why, "data_key": data_key, "context": context, "sealed": value.hex()})

    flip = lambda at: sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
    for name, at in (("kid", 1), ("salt", 17), ("nonce", 29), ("ciphertext", 41), ("tag", len(sealed) - 1)):
        refuse(f"{name} changed", "refused", flip(at))
    refuse("suite changed to the other", "refused", b"\x02" + sealed[1:])
    refuse("one byte missing", "refused", sealed[:-1])
    refuse("one byte more", "refused", sealed + b"\x00")
    refuse("key of another subject", "refused", sealed, data_key=fields[0]["data_key"])
    for name, value in (("tenant", "clinic2"), ("field", "nam"), ("record_id", ""), ("subject", "7432"), ("row_version", 0)):
        refuse(f"another {name}", "refused", sealed, context={**good["context"], name: value})
    refuse("a pair missing", "refused", sealed, context={**good["context"], "pairs": good["context"]["pairs"][1:]})
    refuse("empty", "not sealed", b"")
    refuse("56 bytes", "not sealed", sealed[:56])
    refuse("unknown suite", "not sealed", b"\x03" + sealed[1:])
    refuse("a plaintext", "not sealed", b"Ada Lovelace, born 10 December 1815 in London, patient number 7431")

    tags = []
    for transform, value, bits in (
        (1, "", 128),
        (1, " Ab-1 ", 128),
        (2, "078-05-1120", 128),
        (2, "078 05 1120", 256),
        (2, "078051120", 12),
        (2, "not known", 128),
        (3, "\u2003Öz-MÜLLER\t", 128),
        (3, "ΟΔΥΣΣΕΥΣ", 100),
        (3, " \u00a0 ", 128),
    ):
        case = {
            "domain_key": pattern(0xA0, 32).hex(),
            "tenant": "clinic",
            "record_type": "Patient",
            "field": "ssn",
            "index": "by_ssn",
            "version": 1,
            "transform": transform,
            "bits": bits,
            "value": value,
        }
        tags.append({**case, "index_key": index_key(case).hex(), "tag": index_tag(case)})
    contexts = [{"name": name, "context": context, "aad": aad(context).hex()} for name, context in CONTEXTS.items()]
    return {"contexts": contexts, "fields": fields, "refused": refused, "tags": tags}


def make_padded():
    pattern = lambda start, size: bytes((start + i) % 256 for i in range(size))
    plaintexts = [(b"", 1), (b"", 32), (b"Ada Lovelace", 20), (b"ends like padding\x80\0\0", 3), (pattern(0, 64), 64)]
    fields, refused, hedged = [], [], []
    for suite in (0x11, 0x12):
        for i, (plaintext, padding) in enumerate(plaintexts):
            data_key, salt, nonce = pattern(23 * i + suite, 32), pattern(0x40 + i, 12), pattern(0x80 + i, 12)
            context = CONTEXTS["every element" if i % 2 else "least"]
            sealed = seal(data_key, suite, salt, nonce, context, plaintext, padding)
            fields.append(
                {
                    "name": f"suite {suite}, {len(plaintext)} bytes and {padding}",
                    "data_key": data_key.hex(),
                    "kid": kid(data_key).hex(),
                    "suite": suite,
                    "salt": salt.hex(),
                    "nonce": nonce.hex(),
                    "context": context,
                    "message_key": message_key(data_key, suite, salt).hex(),
                    "plaintext": plaintext.hex(),
                    "padding": padding,
                    "sealed": sealed.hex(),
                    "text": to_text(sealed),
                }
            )

        data_key, salt, nonce = pattern(suite, 32), pattern(0x50, 12), pattern(0x90, 12)
        context, header = CONTEXTS["least"], bytes([suite]) + kid(data_key) + salt + nonce
        for name, message in (
            ("no message", b""),
            ("zeros alone", bytes(32)),
            ("no mark", b"Ada Lovelace"),
            ("another mark", b"Ada Lovelace\x81" + bytes(3)),
            ("a byte behind the mark", b"Ada Lovelace\x80\x01"),
        ):
            key = message_key(data_key, suite, salt)
            ciphertext, tag = CIPHERS[suite](key, nonce, aad(context), message, True)
            value = header + ciphertext + tag
            refused.append(
                {"name": name, "why": "refused", "data_key": data_key.hex(), "context": context, "sealed": value.hex()}
            )
        value = bytes.fromhex(fields[-1]["sealed"])
        for name, changed in (
            ("padding cut off", value[:-1]),
            ("the suite without padding", bytes([suite & 0x0F]) + value[1:]),
            ("the other padded suite", bytes([suite ^ 0x03]) + value[1:]),
        ):
            case = {"data_key": fields[-1]["data_key"], "context": fields[-1]["context"], "sealed": changed.hex()}
            refused.append({"name": name, "why": "refused", **case})

    for suite in (0x01, 0x02, 0x11, 0x12):
        case = {"data_key": pattern(suite, 32).hex(), "suite": suite, "salt": pattern(0x30, 12).hex()}
        # The last message's number passes the end of 128 bits.
        case["random"] = (pattern(0x60, 16) + b"\xff" * 15 + b"\xfd").hex()
        texts = (b"", b"Ada Lovelace", b"Ada Lovelace", pattern(0, 200))
        case["messages"] = [
            {"context": list(CONTEXTS.values())[i], "plaintext": text.hex(), "padding": (1, 20, 20, 70)[i] if suite > 2 else 0}
            for i, text in enumerate(texts)
        ]
        hedged.append({**case, "nonces": hedged_nonces(case)})
    return {"fields": fields, "refused": refused, "hedged": hedged}


def check(vectors):
    for case in vectors.get("contexts", []):
        assert aad(case["context"]).hex() == case["aad"], case["name"]
    for case in vectors.get("fields", []):
        opened = open_sealed(bytes.fromhex(case["data_key"]), case["context"], bytes.fromhex(case["sealed"]))
        assert opened.hex() == case["plaintext"], case["name"]
        assert to_text(bytes.fromhex(case["sealed"])) == case["text"], case["name"]
    for case in vectors.get("refused", []):
        try:
            open_sealed(bytes.fromhex(case["data_key"]), case["context"], bytes.fromhex(case["sealed"]))
            raise AssertionError(case["name"])
        except (Refused, NotSealed) as refusal:
            assert isinstance(refusal, Refused) == (case["why"] == "refused"), case["name"]
    for case in vectors.get("tags", []):
        assert index_tag(case) == case["tag"], case
    for case in vectors.get("hedged", []):
        assert hedged_nonces(case) == case["nonces"], case
    return sum(len(cases) for cases in vectors.values())


def make_fresh(count):
    words = lambda: "".join(random.choice("abc ÄØ林-09") for _ in range(random.randrange(12)))
    fields = []
    for i in range(count):
        context = {"record_type": "Patient", "field": "name"}
        for name in ("tenant", "record_id", "subject"):
            # A subject's id is never empty and has no outer white space.
            if random.random() < 0.6:
                context[name] = "s" + words() + "s"
        if random.random() < 0.5:
            context["row_version"] = random.randrange(2**64)
        context["pairs"] = [list(pair) for pair in {words(): words() for _ in range(random.randrange(4))}.items()]
        data_key, suite, plaintext = os.urandom(32), random.choice(list(CIPHERS)), os.urandom(random.randrange(300))
        padding = random.randrange(1, 90)
        sealed = seal(data_key, suite, os.urandom(12), os.urandom(12), context, plaintext, padding)
        fields.append(
            {
                "name": f"fresh {i}",
                "data_key": data_key.hex(),
                "context": context,
                "plaintext": plaintext.hex(),
                "sealed": sealed.hex(),
                "text": to_text(sealed),
            }
        )
    return {"fields": fields}


def main(arguments):
    self_test()
    match arguments:
        case ["vectors"]:
            print(json.dumps(make_vectors(), indent=1, ensure_ascii=False))
        case ["padded"]:
            print(json.dumps(make_padded(), indent=1, ensure_ascii=False))
        case ["open", path]:
            with open(path, encoding="utf-8") as file:
                print(f"{check(json.load(file))} cases verified")
        case ["seal", count]:
            print(json.dumps(make_fresh(int(count))))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":  # phi-keys' verifier borrows the ciphers
    main(sys.argv[1:])
