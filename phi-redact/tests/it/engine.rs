//! Properties of the content engine.

use std::{borrow::Cow, time::Duration};

use phi_redact::{find, redact_line, redact_sql, redact_str};
use phi_types::{Clock as _, SystemClock};
use proptest::prelude::*;

/// Text out of the pieces that detectors look at, which plain random text would hardly ever hold.
fn mixed() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[0-9]{1,14}",
        "[A-Za-z0-9]{1,12}",
        prop::sample::select(vec![
            "-",
            ".",
            " ",
            "/",
            ":",
            "::",
            "@",
            "%40",
            "%20",
            "%2F",
            "%",
            "(",
            ")",
            ")=(",
            "+",
            "\\n",
            "\\",
            "\u{1b}[0m",
            "\u{1b}",
            "ssn",
            "SSN ",
            "mrn=",
            "MRN: ",
            "phone ",
            "dob=",
            "Nov ",
            "18th of ",
            "/patients/",
            "Patient/",
            "^^^X^MR|",
            "|",
            "'",
            "\"",
            "[SSN]",
            "[DATE]",
            "\u{e9}",
            "\u{2013}",
            "\n",
            ",",
            "a@b.co",
            "078-05-1120",
            "313-867-5309",
            "1EG4-TE5-MK73",
            "2001:db8::1",
            "10.1.2.3",
            "1980-05-12",
            "row contains ",
            "version ",
            "T",
        ])
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn nothing_is_left_to_find(text in prop_oneof![mixed(), any::<String>()]) {
        let once = redact_str(&text).into_owned();
        prop_assert_eq!(find(&once).count(), 0, "{}", &once);
        prop_assert!(matches!(redact_str(&once), Cow::Borrowed(_)));
    }

    #[test]
    fn findings_are_in_order_inside_the_text_and_on_characters(text in prop_oneof![mixed(), any::<String>()]) {
        let mut end = 0;
        for finding in find(&text) {
            let range = finding.range();
            prop_assert!(end <= range.start && range.start < range.end, "{range:?} after {end}");
            prop_assert!(text.get(range.clone()).is_some());
            end = range.end;
        }
    }

    #[test]
    fn text_without_a_finding_is_the_same_text(text in prop_oneof![mixed(), any::<String>()]) {
        if find(&text).next().is_none() {
            prop_assert!(matches!(redact_str(&text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn what_is_not_found_stays_in_order(text in mixed()) {
        let mut rest = String::new();
        let mut end = 0;
        for finding in find(&text) {
            rest.push_str(&text[end..finding.range().start]);
            rest.push_str(finding.class().label());
            end = finding.range().end;
        }
        rest.push_str(&text[end..]);
        // One pass replaces what was found; a second may find what a label moved beside.
        prop_assert_eq!(redact_str(&rest), redact_str(&text));
    }

    #[test]
    fn any_text_is_taken_as_a_line_and_as_sql(text in prop_oneof![mixed(), any::<String>(), "['$a-z1 \\\\\"/*-]{0,20}"]) {
        let _ = redact_line(&text);
        let once = redact_sql(&text).into_owned();
        prop_assert_eq!(&redact_sql(&once), &once);
    }

    #[test]
    fn no_part_of_an_sql_string_stays(secret in "[qz][a-z' ]{3,12}[qz]", before in "[a-pA-P ,=(]{0,8}", after in "[a-pA-P ,=)]{0,8}") {
        let sql = format!("{before}'{}'{after}", secret.replace('\'', "''"));
        let expected = format!("{before}?{after}");
        prop_assert_eq!(redact_sql(&sql), expected);
    }

    #[test]
    fn every_dashed_ssn_is_found_between_anything_but_digits(
        before in "[^0-9%\\\\]{0,6}", ssn in "[0-9]{3}-[0-9]{2}-[0-9]{4}", after in "[^0-9]{0,6}",
    ) {
        let text = format!("{before}{ssn}{after}");
        prop_assert!(!redact_str(&text).contains(&ssn), "{text}");
    }
}

fn time(text: &str) -> Duration {
    let start = SystemClock::new().monotonic();
    let _ = redact_str(text);
    SystemClock::new().monotonic() - start
}

/// Without optimisation this takes a tenth of a second; a detector that reads to the end of the text from each of its
/// anchors takes several. A machine that is busy with other things gets several attempts.
#[test]
fn repeated_pieces_take_time_by_their_length_alone() {
    for piece in [
        ")=(",
        ")=(x) is not present",
        ")=(\n",
        "row contains (",
        "a@",
        "a@b",
        "a@b.co",
        "1-",
        "%40",
        "a%40b.co",
        "a:",
        "1::",
        "2001:db8::110.1.2.3::",
        "\u{1b}[1;",
        "1 ",
        "1.",
        "1/",
        "mrn=1",
        "mrn=00T078-05-1120",
        "Nov 1 ",
        "number ",
        "1^^^",
        "a1_",
        "a1-b",
        "id id 1",
        "+1 ",
        "(1",
        "/patients/a-",
    ] {
        let text = piece.repeat(50_000 / piece.len());
        assert!((0..4).any(|_| time(&text) < Duration::from_secs(1)), "{piece:?}");
    }
}
