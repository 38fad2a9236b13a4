//! Internet Protocol addresses, parsed strictly.
//!
//! Loopback and unspecified addresses name no one and stay, so that `listening on 127.0.0.1:3000` stays readable.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::{
    Class,
    engine::{
        Finding,
        label::Labels,
        text::{Text, Word},
    },
};

/// Longest text of an address: six groups and a dotted quad.
const LONGEST: usize = 45;
/// Punctuation behind an address that is looked through.
const ENDING: usize = 8;

/// Four octets without leading zeros that are neither a version nor part of something longer.
pub(super) fn v4(text: &Text<'_>, word: Word, labels: Labels) -> Option<Finding> {
    if text.at(word.end) != b'.' {
        return None;
    }
    let before = text.before(word.start);
    if before == b'.' || labels.has(Labels::VERSION) {
        return None;
    }
    let length = text.run(word.start, |b| b.is_ascii_digit() || b == b'.');
    let dots = usize::from(text.at(word.start + length - 1) == b'.');
    let end = word.start + length - dots;
    let address: Ipv4Addr = parse(text, word.start, end)?;
    let whole = !text.at(end).is_ascii_alphanumeric() && text.at(end) != b'_';
    // `Chrome/120.0.0.0`; an address in a path names a host, and hosts hardly ever end in zero.
    let product =
        before == b'/' && text.before(word.start - 1).is_ascii_alphanumeric() && address.octets().ends_with(&[0]);
    let someone = !address.is_loopback() && !address.is_unspecified() && !product;
    (whole && someone).then(|| Finding::new(word.start, end, Class::Ip))
}

/// Groups of hexadecimal digits around the colon at `colon`, the first of its token.
///
/// Paths such as `std::fmt` and even `a::b2` consist of the same characters: a token must hold a digit, and three
/// groups or a first group from the assigned ranges.
pub(crate) fn v6(text: &Text<'_>, colon: usize) -> Option<Finding> {
    if !(text.at(colon + 1) == b':' || text.at(colon + 1).is_ascii_hexdigit()) {
        return None;
    }
    let mut start = colon;
    while colon - start <= 4 && text.before(start).is_ascii_hexdigit() {
        start -= 1;
    }
    if text.before(start).is_ascii_alphanumeric() || matches!(text.before(start), b':' | b'_' | b'.') {
        return None;
    }
    // No further than an address can reach: the rest of the text may consist of nothing else.
    let near = text.slice(start, (start + LONGEST + ENDING).min(text.len()));
    let mut end = start + near.iter().take_while(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')).count();
    while text.at(end - 1) == b'.' || (text.at(end - 1) == b':' && text.at(end.wrapping_sub(2)) != b':') {
        end -= 1;
    }
    if end - start > LONGEST || text.at(end).is_ascii_alphanumeric() || text.at(end) == b'_' {
        return None;
    }
    let address: Ipv6Addr = parse(text, start, end)?;
    let token = text.slice(start, end);
    let groups = token.split(|&b| b == b':').filter(|group| !group.is_empty()).count();
    let first = address.segments()[0];
    let assigned =
        start < colon && (first >> 13 == 1 || first >> 9 == 0x7e || first >> 10 == 0x3fa || first >> 8 == 0xff);
    let digit = token.iter().any(u8::is_ascii_digit);
    let someone = !address.is_loopback() && !address.is_unspecified();
    (digit && someone && (groups >= 3 || assigned || start == colon)).then(|| Finding::new(start, end, Class::Ip))
}

fn parse<T: core::str::FromStr>(text: &Text<'_>, start: usize, end: usize) -> Option<T> {
    core::str::from_utf8(text.slice(start, end)).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::{assert_clean, assert_found};
    use crate::Class;

    #[test]
    fn table() {
        assert_found(
            Class::Ip,
            &[
                ("52.248.213.234 - -", "52.248.213.234"),
                ("peer=10.0.0.7:5432", "10.0.0.7"),
                ("http://203.0.113.9/x", "203.0.113.9"),
                ("Some(/10.1.2.3)", "10.1.2.3"),
                ("from 192.168.1.20.", "192.168.1.20"),
                ("2001:db8::1", "2001:db8::1"),
                ("[2001:db8:1:2:3:4:5:6]:443", "2001:db8:1:2:3:4:5:6"),
                ("peer fe80::1ff:fe23:4567:890a%eth0", "fe80::1ff:fe23:4567:890a"),
                ("::ffff:203.0.113.9", "::ffff:203.0.113.9"),
                ("ip=\"fd12:3456::1\"", "fd12:3456::1"),
                ("2a02:8109:b6c0::5,", "2a02:8109:b6c0::5"),
                ("server 203.0.113.9 refused", "203.0.113.9"),
                ("receiver=203.0.113.9", "203.0.113.9"),
                ("GET /block/203.0.113.9", "203.0.113.9"),
            ],
        );
        assert_clean(&[
            "std::fmt",
            "h2::codec",
            "a::b2",
            "cafe::dead",
            "c1::d2::run",
            "at 20:16:22",
            "src/x.rs:10:20",
            "127.0.0.1:3000",
            "0.0.0.0:80",
            "::1",
            "[::]:8080",
            "Chrome/120.0.0.0",
            "version 1.2.3.4",
            "v1.2.3.4",
            "1.2.3.4.5",
            "1.2.3",
            "256.1.1.1",
            "01.2.3.4",
            "1.2.3.4a",
            "aa:bb:cc:dd:ee:ff",
            "10-0-12-34",
            "{\"a\":1,\"b\":2}",
        ]);
    }
}
