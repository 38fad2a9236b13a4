"""An independent implementation of the blind index, SPEC.md section 5, with every option.

    verify_index.py vectors        print tests/vectors/index.json
    verify_index.py open FILE      check the tags of a file of that form
    verify_index.py tags COUNT     print so many tags of random values, with their keys

Python 3.10 without packages.
"""

import hashlib
import hmac
import json
import os
import random
import re
import sys
import unicodedata

from verify import WHITE_SPACE, expand, tlv

COMPOUND = 32


def lower(value):
    return value.strip(WHITE_SPACE).lower()


def digits(value):
    return "".join(c for c in value if c in "0123456789")


def year(value):
    value = value.strip(WHITE_SPACE)
    run = re.match(r"[0-9]*", value).group()
    dated = (len(run) == 4 and value[4:5] in ("", "-")) or len(run) in (8, 12, 14)
    return value[:4] if dated else ""


def zip3(value):
    value = value.strip(WHITE_SPACE)
    return value[:3] if re.fullmatch(r"[0-9]{5}(-?[0-9]{4})?", value) else ""


def e164(value, home):
    value = value.strip(WHITE_SPACE)
    if value[:4].lower() == "tel:":
        value = value[4:].lstrip(WHITE_SPACE)
    value = re.split(r"[A-Za-z;,#]", value, maxsplit=1)[0]
    plus = value.startswith("+")
    if plus:
        value = value[1:].replace("(0)", "", 1)
    number = digits(value)
    abroad = "011" if home == 1 else "00"
    if plus:
        pass
    elif number.startswith(abroad):
        number = number[len(abroad) :]
    elif home == 1:
        if len(number) == 11 and number[0] == "1":
            number = number[1:]
        number = "1" + number if len(number) == 10 else ""
    else:
        number = str(home) + (number[1:] if number.startswith("0") else number)
    return number if 8 <= len(number) <= 15 and number[0] != "0" else ""


def normalise(transform, parameter, value):
    match transform:
        case 1:
            return value
        case 2:
            return digits(value)
        case 3:
            return lower(value)
        case 4:
            nfkc = lambda text: unicodedata.normalize("NFKC", text)
            return nfkc(nfkc(value).lower()).strip(WHITE_SPACE)
        case 5:
            return lower(value)[-parameter:] if 0 < parameter <= len(lower(value)) else ""
        case 6:
            return lower(value)[:parameter] if 0 < parameter <= len(lower(value)) else ""
        case 7:
            return digits(value)[-parameter:] if 0 < parameter <= len(digits(value)) else ""
        case 8:
            return year(value)
        case 9:
            return zip3(value)
        case 10:
            return e164(value, parameter)
    raise ValueError(transform)


def transform_id(transform, parameter):
    if transform in (5, 6, 7):
        return bytes([transform, parameter])
    return bytes([transform]) + (parameter.to_bytes(2, "big") if transform == 10 else b"")


def index_key(case):
    elements = [(1, case["tenant"].encode()), (2, case["record_type"].encode())]
    fields = [part["field"].encode() for part in case["parts"]]
    if not case["compound"]:
        elements.append((3, fields[0]))
    elements += [(4, case["index"].encode()), (5, bytes([case["version"]]))]
    if case["compound"]:
        elements += [(6, field) for field in fields]
    return expand(bytes.fromhex(case["domain_key"]), "phi/v1/bidx", tlv(elements))


def partition(case):
    if case["row"] is None:
        return None
    mac = hmac.new(index_key(case), tlv([(3, case["row"].encode())]), hashlib.sha256).digest()
    return int.from_bytes(mac[:8], "big") % case["partitions"]


def index_tag(case):
    pairs = []
    for part in case["parts"]:
        value = normalise(part["transform"], part["parameter"], part["value"])
        if not value and part["transform"] != 1:
            return None
        pairs.append([(1, transform_id(part["transform"], part["parameter"])), (2, value.encode())])
    if case["compound"]:
        elements = [(1, bytes([COMPOUND]))] + [(2, tlv(pair)) for pair in pairs]
    else:
        elements = pairs[0]
    if case["row"] is not None:
        elements = elements + [(4, partition(case).to_bytes(2, "big"))]
    mac = hmac.new(index_key(case), tlv(elements), hashlib.sha256).digest()
    size = -(-case["bits"] // 8)
    kept = int.from_bytes(mac[:size], "big") >> (8 * size - case["bits"]) << (8 * size - case["bits"])
    return (bytes([case["version"]]) + kept.to_bytes(size, "big")).hex()


VALUES = [
    (4, None, "Zoë"),
    (4, None, "zoe\u0308"),
    (4, None, "\u3000ＺＯＥ\u0308"),
    (4, None, "ﬁ"),
    (4, None, " \u00a0 "),
    (5, 4, " MRN-00Öß "),
    (5, 4, "mrn"),
    (5, 255, "mrn"),
    (6, 3, "  Ångström"),
    (6, 3, "Li"),
    (6, 0, "Li"),
    (7, 4, "078-05-1120"),
    (7, 4, "112"),
    (8, None, "1980"),
    (8, None, " 1980-07-31T10:00:00.5-05:00"),
    (8, None, "19800731100059.123"),
    (8, None, "07/31/1980"),
    (8, None, "198007"),
    (9, None, "02139"),
    (9, None, " 02139-4307 "),
    (9, None, "021394307"),
    (9, None, "K1A 0B1"),
    (10, 1, "(617) 555-0123"),
    (10, 1, "1-617-555-0123 ext. 42"),
    (10, 1, "tel:+1-617-555-0123;ext=42"),
    (10, 1, "011 49 30 901820"),
    (10, 1, "+49 (0)30 901820"),
    (10, 1, "555-0123"),
    (10, 49, "030 901820"),
    (10, 44, "0044 20 7946 0958"),
    (10, 49, "+012345678"),
]


def case(parts, *, compound=False, version=1, bits=128, partitions=1, row=None, domain=None):
    fields = ("ssn", "birth_date", "zip")
    parts = [dict(zip(("field", "transform", "parameter", "value"), (name, *part))) for name, part in zip(fields, parts)]
    made = {
        "domain_key": (domain or bytes(range(0x60, 0x80))).hex(),
        "tenant": "clinic",
        "record_type": "Patient",
        "index": "by_value",
        "version": version,
        "bits": bits,
        "compound": compound,
        "parts": parts,
        "partitions": partitions,
        "row": row,
    }
    return {**made, "index_key": index_key(made).hex(), "partition": partition(made), "tag": index_tag(made)}


def make_vectors():
    one = [(2, None, "078-05-1120")]
    tags = [case([value]) for value in VALUES]
    tags += [case(one, version=2), case(one, version=255, bits=8), case(one, bits=256)]
    tags += [case(one, partitions=4, row=row) for row in ("7431", "7432", "7433", "", "Ömer")]
    tags += [case([(2, None, "none")], partitions=4, row="7431"), case(one, partitions=1024, row="7431")]
    both = [(3, None, "Lovelace "), (8, None, "1815-12-10")]
    tags += [case(both, compound=True), case(both, compound=True, version=3, bits=20)]
    # What moves from one field to the other is another value.
    tags += [case([(1, None, "ab"), (1, None, "c")], compound=True), case([(1, None, "a"), (1, None, "bc")], compound=True)]
    tags += [case([both[0], (8, None, "unknown")], compound=True), case(one, compound=True)]
    return {"tags": tags}


def check(vectors):
    for made in vectors["tags"]:
        assert index_key(made).hex() == made["index_key"], made
        assert partition(made) == made["partition"], made
        assert index_tag(made) == made["tag"], made
    return len(vectors["tags"])


def make_fresh(count):
    tags = []
    for _ in range(count):
        transform = random.choice([2, 3, 4, 5, 6, 7, 8, 9, 10])
        parameter = {5: 3, 6: 2, 7: 4, 10: random.choice([1, 49])}.get(transform)
        value = "".join(random.choice("0123456789+-() aÄ林;") for _ in range(random.randrange(18)))
        tags.append(case([(transform, parameter, value)], domain=os.urandom(32), bits=random.randrange(8, 257)))
    return {"tags": tags}


def main(arguments):
    match arguments:
        case ["vectors"]:
            print(json.dumps(make_vectors(), indent=1, ensure_ascii=False))
        case ["open", path]:
            with open(path, encoding="utf-8") as file:
                print(f"{check(json.load(file))} cases verified")
        case ["tags", count]:
            print(json.dumps(make_fresh(int(count))))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
