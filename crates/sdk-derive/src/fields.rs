//! `#[derive(Fields)]`: a term for each field of a struct.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Error, Field, Ident, LitStr, Result, Type, Visibility};

use crate::case::Case;

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        let message = "a saga is written down with all its types: a struct of it cannot be generic";
        return Err(Error::new(input.generics.span(), message));
    }
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.ident.span(), "what has fields is a struct"));
    };
    let case = renamed(&input.attrs)?.all;
    let mut fields = Vec::new();
    for field in &data.fields {
        fields.extend(named(field, case)?);
    }
    let of = &input.ident;
    let terms = format_ident!("{of}Fields", span = of.span());
    let visibility = &input.vis;
    let about = format!("What each field of [`{of}`] becomes when a saga runs.");
    let names: Vec<&String> = fields.iter().map(|field| &field.name).collect();
    let idents: Vec<&Ident> = fields.iter().map(|field| field.ident).collect();
    let types: Vec<&Type> = fields.iter().map(|field| field.ty).collect();
    let visibilities: Vec<&Visibility> = fields.iter().map(|field| field.visibility).collect();
    let abouts = names.iter().map(|name| format!("What `{name}` becomes."));
    let place = if fields.is_empty() { quote!(_) } else { quote!(place) };
    Ok(quote! {
        #[doc = #about]
        #[derive(Debug, Clone)]
        #visibility struct #terms {
            #(
                #[doc = #abouts]
                #visibilities #idents: ::orchestratum_sdk::saga::Term<#types>,
            )*
        }

        impl ::orchestratum_sdk::saga::Fields for #of {
            type Terms = #terms;

            const NAMES: &'static [&'static str] = &[#(#names),*];

            fn terms(#place: &::orchestratum_sdk::saga::Place) -> Self::Terms {
                #terms { #(#idents: place.field(#names)),* }
            }
        }

        impl ::orchestratum_sdk::saga::Terms for #terms {
            type Of = #of;

            fn whole(self) -> ::orchestratum_sdk::saga::Term<#of> {
                ::orchestratum_sdk::saga::Term::object([#((#names, self.#idents.whatever())),*])
            }
        }
    })
}

struct Named<'a> {
    ident: &'a Ident,
    ty: &'a Type,
    visibility: &'a Visibility,
    name: String,
}

/// As it is called in JSON; `None` if it is not there.
fn named(field: &Field, case: Option<Case>) -> Result<Option<Named<'_>>> {
    let Some(ident) = &field.ident else {
        return Err(Error::new(field.span(), "the fields of a saga have names"));
    };
    let Renamed { name, is_left_out, .. } = renamed(&field.attrs)?;
    if is_left_out {
        return Ok(None);
    }
    let rust = ident.to_string();
    let rust = rust.strip_prefix("r#").unwrap_or(&rust);
    let name = name.unwrap_or_else(|| case.map_or_else(|| rust.to_owned(), |case| case.of_field(rust)));
    Ok(Some(Named {
        ident,
        ty: &field.ty,
        visibility: &field.vis,
        name,
    }))
}

/// What serde was told of names.
#[derive(Default)]
struct Renamed {
    name: Option<String>,
    all: Option<Case>,
    is_left_out: bool,
}

fn renamed(attributes: &[Attribute]) -> Result<Renamed> {
    let mut renamed = Renamed::default();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            let word = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            match word.as_str() {
                "rename" if meta.input.peek(syn::Token![=]) => {
                    let name: LitStr = meta.value()?.parse()?;
                    renamed.name = Some(name.value());
                }
                "rename_all" if meta.input.peek(syn::Token![=]) => {
                    let case: LitStr = meta.value()?.parse()?;
                    let known = Case::of_serde(&case.value());
                    renamed.all = Some(known.ok_or_else(|| Error::new(case.span(), "serde knows no such case"))?);
                }
                "rename" | "rename_all" => return Err(meta.error("a field of a saga has one name in both directions")),
                "skip" => renamed.is_left_out = true,
                "flatten" => {
                    return Err(meta.error("a field of a saga cannot be flattened: its names are not known here"));
                }
                // The rest of serde's words say nothing of names, whatever comes with them.
                _ if meta.input.peek(syn::Token![=]) => {
                    let _: syn::Expr = meta.value()?.parse()?;
                }
                _ if meta.input.peek(syn::token::Paren) => {
                    let content;
                    syn::parenthesized!(content in meta.input);
                    let _: TokenStream = content.parse()?;
                }
                _ => {}
            }
            Ok(())
        })?;
    }
    Ok(renamed)
}
