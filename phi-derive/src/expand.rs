//! From the declaration to what is generated, or to the error that the compiler shows.

use proc_macro2::TokenStream;

use crate::generate;
use crate::record::Declared;

pub(crate) fn record(input: TokenStream) -> TokenStream {
    let declared = syn::parse2(input).and_then(|input| Declared::read(&input));
    declared.map_or_else(|error| error.to_compile_error(), |declared| generate::record(&declared))
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    /// The text of the compile error, or of what is generated.
    fn expanded(input: TokenStream) -> String {
        record(input).to_string()
    }

    #[track_caller]
    fn refused(input: TokenStream, says: &str) {
        let text = expanded(input);
        assert!(text.contains("compile_error") && text.contains(says), "{text}");
    }

    #[test]
    fn a_record_without_an_id_is_refused() {
        refused(
            quote! { #[phi(record = "Patient", group = "ward")] struct Patient { #[phi(seal)] name: Phi<String> } },
            "mark the field that holds the record id with #[phi(id)]",
        );
    }

    #[test]
    fn a_record_without_a_scope_is_refused() {
        refused(
            quote! { #[phi(record = "Patient")] struct Patient { #[phi(id)] id: String, #[phi(seal)] name: Phi<String> } },
            "#[phi(subject)]",
        );
        refused(
            quote! { #[phi(record = "Patient", group = "g")] struct Patient { #[phi(id, subject)] id: SubjectId, #[phi(seal)] name: Phi<String> } },
            "both a subject and a group",
        );
    }

    #[test]
    fn a_record_without_a_name_of_its_own_is_refused() {
        refused(
            quote! { struct Patient { #[phi(id, subject)] id: SubjectId, #[phi(seal)] name: Phi<String> } },
            "#[phi(record = ",
        );
        refused(
            quote! { #[phi(record = "")] struct Patient { #[phi(id, subject)] id: SubjectId, #[phi(seal)] name: Phi<String> } },
            "empty",
        );
    }

    #[test]
    fn a_sealed_field_that_would_print_is_refused() {
        for field in [quote!(String), quote!(Option<String>), quote!(Vec<Phi<String>>), quote!(Phi)] {
            refused(
                quote! { #[phi(record = "Patient")] struct Patient { #[phi(id, subject)] id: SubjectId, #[phi(seal)] name: #field } },
                "a sealed field is a Phi<T> or an Option<Phi<T>>",
            );
        }
    }

    #[test]
    fn what_would_stand_in_clear_is_named_as_such() {
        refused(
            quote! { #[phi(record = "Patient")] struct Patient { #[phi(id, subject)] id: SubjectId, #[phi(seal)] name: Phi<String>, ward: i64 } },
            "#[phi(clear)]",
        );
        refused(
            quote! { #[phi(record = "Patient")] struct Patient { #[phi(id, subject)] id: SubjectId, #[phi(clear)] name: Phi<String>, #[phi(seal)] x: Phi<String> } },
            "seal it",
        );
    }

    #[test]
    fn contradictions_and_repetitions_are_refused() {
        for (field, says) in [
            (quote!(#[phi(seal, clear)] name: Phi<String>), "one of"),
            (quote!(#[phi(seal, seal)] name: Phi<String>), "twice"),
            (quote!(#[phi(id)] name: String), "a second record id"),
            (quote!(#[phi(subject)] name: SubjectId), "a second subject"),
            (quote!(#[phi(sealed)] name: Phi<String>), "one of"),
            (quote!(#[phi(clear, index(BY = T))] name: i64), "only a sealed field"),
            (quote!(#[phi(seal, index())] name: Phi<String>), "expected nested attribute"),
            (quote!(#[phi(seal, index(BY = T, bits = "x"))] name: Phi<String>), "integer"),
            (quote!(#[phi(seal, index(BY = T, byts = 3))] name: Phi<String>), "bits"),
            (quote!(#[phi(seal, index(BY = T), index(BY = U))] name: Phi<String>), "a second index"),
        ] {
            refused(
                quote! { #[phi(record = "Patient")] struct Patient { #[phi(id, subject)] id: SubjectId, #field, #[phi(seal)] other: Phi<String> } },
                says,
            );
        }
    }

    #[test]
    fn only_a_struct_with_names_and_without_parameters_is_a_record() {
        refused(quote! { #[phi(record = "P")] enum P { A } }, "a struct with named fields");
        refused(quote! { #[phi(record = "P")] struct P(Phi<String>); }, "a struct with named fields");
        refused(
            quote! { #[phi(record = "P")] struct P<T> { #[phi(id, subject)] id: SubjectId, #[phi(seal)] x: Phi<T> } },
            "without parameters",
        );
        refused(quote! { #[phi(record = "P")] struct P { #[phi(id, subject)] id: SubjectId } }, "seals nothing");
    }

    #[test]
    fn names_are_constants_of_the_code() {
        let text = expanded(quote! {
            #[phi(record = "Patient", sealed = StoredPatient)]
            pub(crate) struct Patient {
                #[phi(id, subject)] id: SubjectId,
                #[phi(seal, index(BY_SSN = Transform::Digits, bits = 64, version = 2))] ssn: Option<Phi<String>>,
                #[phi(clear)] ward: i64,
            }
        });
        for part in [
            r#"const RECORD_TYPE : & 'static str = "Patient""#,
            r#"Field :: new ("Patient" , "ssn")"#,
            r#"exact ("Patient" , "ssn" , "by_ssn" , Transform :: Digits) . bits (64) . version (2)"#,
            "pub (crate) struct StoredPatient",
            "ssn_tag : :: core :: option :: Option < :: phi_crypto :: Tag >",
        ] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
    }
}
