//! What is written for a declaration.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::Ident;
use syn::ext::IdentExt as _;

use crate::attributes::Index;
use crate::record::{Declared, Kind, Scope};

pub(crate) fn record(declared: &Declared) -> TokenStream {
    let constants = constants(declared);
    let structs = structs(declared);
    let implementation = implementation(declared);
    quote! { #constants #structs #implementation }
}

/// The text of a name, without `r#`.
fn text(name: &Ident) -> String {
    name.unraw().to_string()
}

/// The column of an index's tags: `ssn_tag`, unless it is named.
fn column(field: &Ident, index: &Index) -> Ident {
    index.column.clone().unwrap_or_else(|| format_ident!("{}_tag", field.unraw()))
}

/// The member of the opened indexes.
fn member(index: &Index) -> Ident {
    format_ident!("{}", text(&index.constant).to_lowercase())
}

fn constants(declared: &Declared) -> TokenStream {
    let Declared { visibility, name, record, fields, .. } = declared;
    let fields = fields.iter().filter(|member| matches!(member.kind, Kind::Sealed { .. })).map(|member| {
        let field = text(&member.name);
        let constant = format_ident!("{}", field.to_uppercase(), span = member.name.span());
        let doc = format!("Where `{field}` belongs.");
        quote! {
            #[doc = #doc]
            #visibility const #constant: ::phi_crypto::Field = ::phi_crypto::Field::new(#record, #field);
        }
    });
    let indexes = declared.indexes().map(|(field, _, index)| {
        let Index { constant, transform, name, bits, version, replaces, .. } = index;
        let field = text(field);
        let index_name = name.as_ref().map_or_else(|| text(constant).to_lowercase(), syn::LitStr::value);
        let doc = format!("The index `{index_name}` over `{field}`.");
        let bits = bits.as_ref().map(|bits| quote! { .bits(#bits) });
        let version = version.as_ref().map(|version| quote! { .version(#version) });
        let replaces = replaces.as_ref().map(|old| quote! { .replaces(&#old) });
        quote! {
            #[doc = #doc]
            #visibility const #constant: ::phi_crypto::IndexSpec =
                ::phi_crypto::BlindIndex::exact(#record, #field, #index_name, #transform) #bits #version #replaces;
        }
    });
    quote! { #[allow(dead_code)] impl #name { #(#fields)* #(#indexes)* } }
}

fn structs(declared: &Declared) -> TokenStream {
    let Declared { visibility, name, sealed, derives, .. } = declared;
    let members = declared.fields.iter().map(|member| {
        let (name, visibility) = (&member.name, &member.visibility);
        let doc = format!("The column `{}`.", text(name));
        match &member.kind {
            Kind::Clear(kind) => quote! { #[doc = #doc] #visibility #name: #kind, },
            Kind::Sealed { value, optional, indexes } => {
                let sealed = quote! { ::phi_crypto::Sealed<#value> };
                let sealed = if *optional {
                    quote! { ::core::option::Option<#sealed> }
                } else {
                    sealed
                };
                let tags = indexes.iter().map(|index| {
                    let column = column(name, index);
                    let doc = format!("The tag of `{}`.", text(&index.constant));
                    quote! { #[doc = #doc] #visibility #column: ::core::option::Option<::phi_crypto::Tag>, }
                });
                quote! { #[doc = #doc] #visibility #name: #sealed, #(#tags)* }
            }
        }
    });
    let derives = (!derives.is_empty()).then(|| quote! { #[derive(#(#derives),*)] });
    let opened = format_ident!("{}Indexes", name);
    let indexes = declared.indexes().map(|(_, _, index)| {
        let (member, doc) = (member(index), format!("`{}`, opened.", text(&index.constant)));
        quote! { #[doc = #doc] #visibility #member: ::phi_crypto::BlindIndex, }
    });
    let (sealed_doc, opened_doc) =
        (format!("A [`{name}`] as it is stored."), format!("The indexes of [`{name}`], opened."));
    quote! {
        #[doc = #sealed_doc]
        #derives
        #[allow(missing_debug_implementations)]
        #visibility struct #sealed { #(#members)* }

        #[doc = #opened_doc]
        #[derive(Debug, Clone)]
        #visibility struct #opened { #(#indexes)* }
    }
}

fn implementation(declared: &Declared) -> TokenStream {
    let Declared { name, record, sealed, id, scope, fields, .. } = declared;
    let opened = format_ident!("{}Indexes", name);
    let field_names =
        fields.iter().filter(|member| matches!(member.kind, Kind::Sealed { .. })).map(|member| text(&member.name));
    let columns = fields.iter().flat_map(|member| {
        let tags: Vec<String> = match &member.kind {
            Kind::Sealed { indexes, .. } => indexes.iter().map(|index| text(&column(&member.name, index))).collect(),
            Kind::Clear(_) => Vec::new(),
        };
        core::iter::once(text(&member.name)).chain(tags)
    });
    let constants = declared.indexes().map(|(_, _, index)| &index.constant);
    let (scope_of, context) = match scope {
        Scope::Subject(subject) => (
            quote! { ::phi_crypto::Scope::subject(&this.#subject) },
            quote! { |field: ::phi_crypto::Field| field.record_id(::phi_crypto::RecordKey::record_id(&this.#id)).subject(&this.#subject) },
        ),
        Scope::Group(group) => (
            quote! { { let _ = this; ::phi_crypto::Scope::group(#group) } },
            quote! { |field: ::phi_crypto::Field| field.record_id(::phi_crypto::RecordKey::record_id(&this.#id)) },
        ),
    };
    let kids = fields.iter().filter_map(|member| {
        let name = &member.name;
        match &member.kind {
            Kind::Clear(_) => None,
            Kind::Sealed { optional: true, .. } => {
                Some(quote! { kids.extend(this.#name.as_ref().map(::phi_crypto::Sealed::kid)); })
            }
            Kind::Sealed { .. } => Some(quote! { kids.push(this.#name.kid()); }),
        }
    });
    let open_indexes = declared.indexes().map(|(_, _, index)| {
        let (member, constant) = (member(index), &index.constant);
        quote! { #member: Self::#constant.open(keys).await?, }
    });
    let (sealing, opening) = (fields.iter().map(seal_member), fields.iter().map(open_member));
    quote! {
        #[automatically_derived]
        impl ::phi_crypto::Record for #name {
            const RECORD_TYPE: &'static str = #record;
            const FIELDS: &'static [&'static str] = &[#(#field_names),*];
            const COLUMNS: &'static [&'static str] = &[#(#columns),*];
            const INDEXES: &'static [::phi_crypto::IndexSpec] = &[#(Self::#constants),*];
            type Sealed = #sealed;
            type Indexes = #opened;

            fn scope(&self) -> ::phi_crypto::Scope {
                let this = self;
                #scope_of
            }

            fn sealed_scope(this: &Self::Sealed) -> ::phi_crypto::Scope {
                #scope_of
            }

            fn kids(this: &Self::Sealed) -> ::std::vec::Vec<::phi_crypto::KeyId> {
                let mut kids = ::std::vec::Vec::new();
                #(#kids)*
                kids
            }

            async fn open_indexes(keys: &::phi_crypto::Keys) -> ::core::result::Result<Self::Indexes, ::phi_crypto::IndexError> {
                let _ = keys;
                ::core::result::Result::Ok(#opened { #(#open_indexes)* })
            }

            fn seal(
                &self,
                sealer: &::phi_crypto::ScopedSealer,
                indexes: &Self::Indexes,
            ) -> ::core::result::Result<Self::Sealed, ::phi_crypto::RecordError> {
                let _ = indexes;
                let this = self;
                let place = #context;
                ::core::result::Result::Ok(#sealed { #(#sealing)* })
            }

            fn open(
                this: &Self::Sealed,
                opener: &::phi_crypto::ScopedOpener,
            ) -> ::core::result::Result<Self, ::phi_crypto::RecordError> {
                let place = #context;
                ::core::result::Result::Ok(Self { #(#opening)* })
            }
        }
    }
}

fn seal_member(member: &crate::record::Member) -> TokenStream {
    let name = &member.name;
    let Kind::Sealed { optional, indexes, .. } = &member.kind else {
        return quote! { #name: ::core::clone::Clone::clone(&this.#name), };
    };
    let constant = format_ident!("{}", text(name).to_uppercase());
    let sealed = if *optional {
        quote! { this.#name.as_ref().map(|value| sealer.seal(value, &place(Self::#constant))).transpose() }
    } else {
        quote! { sealer.seal(&this.#name, &place(Self::#constant)) }
    };
    let tags = indexes.iter().map(|index| {
        let (column, opened) = (column(name, index), self::member(index));
        let tag = if *optional {
            quote! {
                this.#name.as_ref().map(|value| indexes.#opened.tag(::core::convert::AsRef::<str>::as_ref(value.expose())))
                    .transpose().map(::core::option::Option::flatten)
            }
        } else {
            quote! { indexes.#opened.tag(::core::convert::AsRef::<str>::as_ref(this.#name.expose())) }
        };
        quote! { #column: #tag.map_err(|error| ::phi_crypto::RecordError::index(Self::#constant, error))?, }
    });
    quote! {
        #name: #sealed.map_err(|error| ::phi_crypto::RecordError::seal(Self::#constant, error))?,
        #(#tags)*
    }
}

fn open_member(member: &crate::record::Member) -> TokenStream {
    let name = &member.name;
    let Kind::Sealed { optional, .. } = &member.kind else {
        return quote! { #name: ::core::clone::Clone::clone(&this.#name), };
    };
    let constant = format_ident!("{}", text(name).to_uppercase());
    let opened = if *optional {
        quote! { this.#name.as_ref().map(|value| opener.open(value, &place(Self::#constant))).transpose() }
    } else {
        quote! { opener.open(&this.#name, &place(Self::#constant)) }
    };
    quote! { #name: #opened.map_err(|error| ::phi_crypto::RecordError::open(Self::#constant, error))?, }
}
