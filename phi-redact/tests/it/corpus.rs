//! Measured recall and precision on the labelled lines of `tests/corpus`, with a floor.

use std::{collections::BTreeMap, ops::Range};

use phi_redact::{Class, find};

/// One line without its markup, and what is marked in it.
fn read(line: &str) -> (String, Vec<(Range<usize>, Class)>) {
    let mut text = String::new();
    let mut marked = Vec::new();
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("{{") {
        let (class, after) = after.split_once(':').unwrap();
        let (value, after) = after.split_once("}}").unwrap();
        let class = Class::ALL.into_iter().find(|c| c.label() == format!("[{class}]")).unwrap();
        text.push_str(before);
        marked.push((text.len()..text.len() + value.len(), class));
        text.push_str(value);
        rest = after;
    }
    text.push_str(rest);
    (text, marked)
}

#[test]
fn recall_and_precision_have_a_floor() {
    let mut marked_of = BTreeMap::<Class, (u32, u32)>::new();
    let (mut right, mut wrong) = (0, 0);
    let mut report = String::new();
    for line in include_str!("../corpus/found.txt").lines() {
        let (text, marked) = read(line);
        let found: Vec<_> = find(&text).collect();
        for (range, class) in &marked {
            // Every letter and digit of the value must be gone, whatever the engine took it for.
            let covered = range
                .clone()
                .all(|i| !text.as_bytes()[i].is_ascii_alphanumeric() || found.iter().any(|f| f.range().contains(&i)));
            // The time of day behind a date is no element of it.
            let covered =
                covered || found.iter().any(|f| f.range().start == range.start && text[range.clone()].contains('T'));
            let (hits, all) = marked_of.entry(*class).or_default();
            *hits += u32::from(covered);
            *all += 1;
            if !covered {
                report += &format!("missed {class} {:?} in {text}\n", &text[range.clone()]);
            }
        }
        for finding in found {
            if marked.iter().any(|(range, _)| range.start < finding.range().end && finding.range().start < range.end) {
                right += 1;
            } else {
                wrong += 1;
                report += &format!("wrong {} {:?} in {text}\n", finding.class(), &text[finding.range()]);
            }
        }
    }
    let all = marked_of.values().fold((0, 0), |sum, (hits, all)| (sum.0 + hits, sum.1 + all));
    let recall = f64::from(all.0) / f64::from(all.1);
    let precision = f64::from(right) / f64::from(right + wrong);
    report += &format!("recall {recall:.3} precision {precision:.3} of {} values, by class {marked_of:?}\n", all.1);
    println!("{report}");
    assert!(all.1 >= 90, "{report}");
    assert!(recall >= 0.95, "{report}");
    assert!(precision >= 0.99, "{report}");
    for (class, floor) in
        [(Class::Ssn, 0.9), (Class::Mrn, 1.0), (Class::Mbi, 1.0), (Class::Email, 1.0), (Class::Ip, 1.0)]
    {
        let (hits, all) = marked_of[&class];
        assert!(f64::from(hits) >= floor * f64::from(all), "{class}\n{report}");
    }
}

#[test]
fn lines_without_identifiers_are_left_alone() {
    let wrong: Vec<_> = include_str!("../corpus/clean.txt")
        .lines()
        .flat_map(|line| find(line).map(move |f| format!("{} {:?} in {line}", f.class(), &line[f.range()])))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
