//! JSON without its white space.

use super::fault::FaultKind;

/// Deeper nesting than any FHIR resource needs, and less than readers of JSON give up at.
pub(crate) const MAX_DEPTH: usize = 64;

/// Removes white space between the tokens of valid JSON and leaves every other byte as it is: FHIR decimals and the
/// order of members keep their meaning, which a parse and a rewrite would lose.
pub(crate) fn compact(json: &str) -> Result<Vec<u8>, FaultKind> {
    let mut out = Vec::with_capacity(json.len());
    let (mut in_string, mut escaped, mut depth) = (false, false, 0_usize);
    for byte in json.bytes() {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
        } else {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => continue,
                b'"' => in_string = true,
                b'{' | b'[' => {
                    depth += 1;
                    if depth > MAX_DEPTH {
                        return Err(FaultKind::TooDeep);
                    }
                }
                b'}' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        out.push(byte);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_between_tokens_goes() {
        let json = "{ \"a b\" : [ 1.50 ,\n\t\"x \\\" { y\\\\\" , null ] }";
        assert_eq!(compact(json).unwrap(), br#"{"a b":[1.50,"x \" { y\\",null]}"#);
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |n: usize| "[".repeat(n) + &"]".repeat(n);
        assert!(compact(&nested(MAX_DEPTH)).is_ok());
        assert_eq!(compact(&nested(MAX_DEPTH + 1)), Err(FaultKind::TooDeep));
    }
}
