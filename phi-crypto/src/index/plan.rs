//! How many bits a tag should have.

use core::fmt;
use core::ops::RangeInclusive;

/// Says how many bits the tags over some rows should have, and warns where indexes would give away or collide too much.
///
/// The rule is `CipherSweet`'s: among `R` rows, indexes whose tags together tell apart `2^b` values leave a row about
/// `R / 2^b` rows that look alike. Below 2 a tag is as good as its value; above `√R` a search opens too many rows. Each
/// index contributes the bits of its tags, and at most as many as its field has values.
///
/// The rule is for fields of which equality itself must not show. An identifier that is looked up by one clerk at a time,
/// such as a medical record number, is usually indexed with all bits, and the warning accepted knowingly.
/// Look again when the number of rows has grown tenfold.
///
/// ```
/// use phi_crypto::{IndexPlan, IndexWarning};
///
/// let plan = IndexPlan::for_rows(1_000_000);
/// // Social security numbers: 2^10 to 2^18 tags leave between 2 and 1,000 rows alike.
/// assert_eq!(plan.recommended_bits(1_000_000_000), Some(10..=18));
/// assert!(plan.index(16, 1_000_000_000).warnings().is_empty());
/// assert_eq!(plan.index(128, 1_000_000_000).warnings(), [IndexWarning::NamesValues]);
/// // Sex: no truncation helps.
/// assert_eq!(plan.recommended_bits(4), None);
/// assert_eq!(plan.index(128, 4).warnings(), [IndexWarning::FewValues]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct IndexPlan {
    rows: f64,
    /// The sum over the indexes of log2 of how many tags each tells apart.
    told_apart: f64,
    /// Whether an index has fewer values than a tag has room for.
    few_values: bool,
}

impl IndexPlan {
    /// A plan for a table of so many rows, without an index yet. Plan for the rows that there will be.
    #[must_use]
    pub const fn for_rows(rows: u64) -> Self {
        Self { rows: rows as f64, told_apart: 0.0, few_values: false }
    }

    /// Adds an index: the bits of its tags, and how many different values its transform leaves. Of a partitioned index,
    /// give the values times the partitions.
    #[must_use]
    pub fn index(mut self, bits: u16, values: u64) -> Self {
        let field = (values.max(1) as f64).log2();
        self.told_apart += f64::from(bits).min(field);
        self.few_values |= field < f64::from(bits) && field < self.rows.max(1.0).log2() / 2.0;
        self
    }

    /// How many rows look alike in all indexes of the plan, on average.
    #[must_use]
    pub fn rows_alike(&self) -> f64 {
        self.rows / self.told_apart.exp2()
    }

    /// What speaks against the indexes of the plan.
    #[must_use]
    pub fn warnings(&self) -> Vec<IndexWarning> {
        let mut warnings = Vec::new();
        if self.told_apart == 0.0 {
            return warnings;
        }
        let alike = self.rows_alike();
        if alike < 2.0 {
            warnings.push(IndexWarning::NamesValues);
        }
        if self.few_values {
            warnings.push(IndexWarning::FewValues);
        } else if alike > self.rows.sqrt() {
            warnings.push(IndexWarning::TooManyMatches);
        }
        warnings
    }

    /// The numbers of bits that a further index may have without a warning; `None` where no number will do: the field has
    /// too few values, or the indexes of the plan tell apart too much already. From 8, the fewest bits of a tag.
    #[must_use]
    pub fn recommended_bits(&self, values: u64) -> Option<RangeInclusive<u16>> {
        let fits = |bits: &u16| self.index(*bits, values).warnings().is_empty();
        let fewest = (8..=256).find(fits)?;
        let most = (fewest..=256).take_while(fits).last()?;
        Some(fewest..=most)
    }
}

/// What speaks against an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum IndexWarning {
    /// Fewer than two rows look alike: a tag is as good as its value, and whoever has the index key reads the column.
    NamesValues,
    /// More rows look alike than the square root of their number: a search opens too many that are not meant.
    TooManyMatches,
    /// The field has so few values that the frequencies of the tags give them away, whatever their length.
    FewValues,
}

impl fmt::Display for IndexWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NamesValues => "a tag is as good as its value; shorten the tags, or index fewer fields of these rows",
            Self::TooManyMatches => "a search finds too many rows that are not meant; lengthen the tags",
            Self::FewValues => {
                "the field has so few values that frequencies give them away; leave it without an index, partition it, or index it together with another field"
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_kept_at_its_edges() {
        // 2^20 rows: from 2^10 rows alike (√R) to 2.
        let plan = IndexPlan::for_rows(1 << 20);
        let values = 1 << 40;
        for (bits, expected) in [
            (9, &[IndexWarning::TooManyMatches][..]),
            (10, &[]),
            (19, &[]),
            (20, &[IndexWarning::NamesValues]),
            (256, &[IndexWarning::NamesValues]),
        ] {
            assert_eq!(plan.index(bits, values).warnings(), expected, "{bits}");
        }
        assert_eq!(plan.recommended_bits(values), Some(10..=19));
        assert!((plan.index(10, values).rows_alike() - 1024.0).abs() < 1e-6);
    }

    #[test]
    fn several_indexes_tell_apart_together() {
        let one = IndexPlan::for_rows(1 << 20).index(12, 1 << 40);
        assert_eq!(one.recommended_bits(1 << 40), None, "7 bits would be left, and a tag has 8");
        let one = IndexPlan::for_rows(1 << 30).index(15, 1 << 40);
        assert_eq!(one.recommended_bits(1 << 40), Some(8..=14));
        assert_eq!(one.index(15, 1 << 40).warnings(), [IndexWarning::NamesValues]);
    }

    #[test]
    fn a_field_of_few_values_is_told_apart_from_short_tags() {
        let plan = IndexPlan::for_rows(1 << 20);
        assert_eq!(plan.index(128, 120).warnings(), [IndexWarning::FewValues]);
        assert_eq!(plan.index(8, 1 << 40).warnings(), [IndexWarning::TooManyMatches]);
        // As many values as the rule wants are fine with any length.
        assert_eq!(plan.recommended_bits(1 << 15), Some(10..=256));
        assert!(plan.warnings().is_empty(), "without an index there is nothing to warn of");
        // 2^10 values of 2^20 rows, and as many values as there are tags, are not few.
        assert_eq!(plan.index(128, 1 << 10).warnings(), []);
        let plan = IndexPlan::for_rows(1 << 40);
        assert_eq!(plan.index(15, 1 << 15).warnings(), [IndexWarning::TooManyMatches]);
        assert_eq!(plan.index(16, 1 << 15).warnings(), [IndexWarning::FewValues]);
    }
}
