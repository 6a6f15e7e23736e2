//! `#[derive(States)]`: the states of a saga as an enum.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Ident, LitStr, Result, Variant};

use crate::naming;

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let Data::Enum(data) = &input.data else {
        return Err(Error::new(input.ident.span(), "the states of a saga are an enum"));
    };
    if data.variants.is_empty() {
        return Err(Error::new(
            input.ident.span(),
            "a saga has at least one state, in which it begins",
        ));
    }
    let states = &input.ident;
    let mut variants: Vec<&Ident> = Vec::new();
    let mut names = Vec::new();
    for variant in &data.variants {
        let name = name(variant)?;
        if names.contains(&name) {
            return Err(Error::new(
                variant.ident.span(),
                format!("there are two states `{name}`"),
            ));
        }
        variants.push(&variant.ident);
        names.push(name);
    }
    Ok(quote! {
        impl ::orchestratum_sdk::saga::States for #states {
            const ALL: &'static [Self] = &[#(Self::#variants),*];

            fn name(&self) -> &'static str {
                match self {
                    #(Self::#variants => #names),*
                }
            }
        }
    })
}

fn name(variant: &Variant) -> Result<String> {
    if !matches!(variant.fields, Fields::Unit) {
        let message = "what a saga knows is in its context: a state has no fields";
        return Err(Error::new(variant.ident.span(), message));
    }
    let mut explicit: Option<LitStr> = None;
    for attribute in variant
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("state"))
    {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("name") {
                return Err(meta.error("a state has `name`"));
            }
            explicit = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    let (name, span) = match explicit {
        Some(name) => (name.value(), name.span()),
        None => (variant.ident.to_string(), variant.ident.span()),
    };
    if naming::is_name(&name) {
        Ok(name)
    } else {
        let message = format!("`{name}` cannot be the name of a state: it must match {}", naming::RULE);
        Err(Error::new(span, message))
    }
}
