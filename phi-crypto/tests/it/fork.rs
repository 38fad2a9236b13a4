//! A process that forks goes on with what it held, and no two of its values share a nonce.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

use fork::Fork;
use phi_crypto::Context;

use crate::support::{Clinic, nonce_of, salt_of};

const EACH: usize = 300;

#[tokio::test]
async fn parent_and_children_never_share_a_nonce() {
    let clinic = Clinic::new().await;
    for hedged in [false, true] {
        let sealer = if hedged { clinic.sealer.hedged() } else { clinic.sealer.clone() };
        let sealer = sealer.for_scope(&crate::support::scope("ada")).await.unwrap();
        let place = Context::new("Patient", "name").record_id("1");
        let batch = vec![("the same", place.clone()); EACH];
        // The epoch begins before the fork, so that all of them go on in it.
        let length = sealer.seal("the same", &place).unwrap().as_bytes().len();
        let seal = || {
            let mut values = Vec::new();
            for _ in 0..EACH {
                sealer.seal_into(b"the same", &place, &mut values).unwrap();
            }
            values.extend(sealer.seal_many(&batch).unwrap().iter().flat_map(|sealed| sealed.as_bytes().to_vec()));
            values
        };

        let mut children = Vec::new();
        for _ in 0..3 {
            let (reader, mut writer) = std::io::pipe().unwrap();
            match fork::fork().unwrap() {
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
            fork::waitpid(child).unwrap();
        }
        assert_eq!(all.len(), 4 * 2 * EACH * length);
        let salts: BTreeSet<_> = all.chunks(length).map(salt_of).collect();
        assert_eq!(salts.len(), 1, "one message key, so that a shared nonce would be a repeated one");
        let nonces: BTreeSet<_> = all.chunks(length).map(nonce_of).collect();
        assert_eq!(nonces.len(), 4 * 2 * EACH, "hedged {hedged}");
    }
}
