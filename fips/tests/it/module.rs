//! Which module it is.

use phi_keys::backend::Backend;

use crate::support::fips;

#[test]
fn it_says_its_release_and_no_other_version_of_it_is_taken() {
    assert_eq!(aws_lc_rs::fips_version(), Some(3), "another module than the one that certificates name was linked");
    let release = fips().release().unwrap();
    assert_eq!(release.split('.').next(), Some("3"), "{release}");
    assert_eq!(Backend::ring().release(), None);
    // `cargo xtask fips` puts this line into the evidence.
    println!("library release {release}");
}
