//! The module's generator notices a fork.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

use ::fork::Fork;

use crate::support::{Clinic, bed, fips, sealer};

const EACH: usize = 200;

#[tokio::test]
async fn parent_and_children_never_share_a_nonce() {
    let clinic = Clinic::new(fips());
    let keys = clinic.keys(fips()).await;
    let sealer = sealer(&keys).await;
    // The epoch begins before the fork, so that all of them go on in it, and the generator has been used.
    let length = sealer.seal("the same", &bed()).unwrap().as_bytes().len();
    let seal = || {
        let mut values = Vec::new();
        for _ in 0..EACH {
            sealer.seal_into(b"the same", &bed(), &mut values).unwrap();
        }
        values
    };
    let mut children = Vec::new();
    for _ in 0..3 {
        let (reader, mut writer) = std::io::pipe().unwrap();
        match ::fork::fork().unwrap() {
            Fork::Child => {
                let written = writer.write_all(&seal());
                std::process::exit(written.is_err().into());
            }
            Fork::Parent(child) => children.push((child, reader)),
        }
    }
    let mut all = seal();
    for (child, mut reader) in children {
        reader.read_to_end(&mut all).unwrap();
        ::fork::waitpid(child).unwrap();
    }
    assert_eq!(all.len(), 4 * EACH * length);
    let salts: BTreeSet<_> = all.chunks(length).map(|value| value[17..29].to_vec()).collect();
    assert_eq!(salts.len(), 1, "one message key, so that a shared nonce would be a repeated one");
    let nonces: BTreeSet<_> = all.chunks(length).map(|value| value[29..41].to_vec()).collect();
    assert_eq!(nonces.len(), 4 * EACH);
}

/// A fast `RDRAND` is mixed into every draw, so that on most processors the test above would pass without any notice of the fork.
#[cfg(target_arch = "x86_64")]
#[test]
fn nor_do_they_on_a_processor_without_rdrand() {
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "fork::parent_and_children_never_share_a_nonce"])
        // Bit 30 of ECX in leaf 1 of CPUID, which the module then takes for unset.
        .env("OPENSSL_ia32cap", "~0x4000000000000000")
        .output()
        .unwrap();
    let said = String::from_utf8(child.stdout).unwrap();
    assert!(child.status.success() && said.contains("1 passed"), "{said}");
}
