//! `#[derive(Event)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, LitStr, Result, Type};

use crate::{fields, naming};

/// What `#[event(…)]` says.
#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    is_failure: bool,
    joined: Option<Type>,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    let options = options(input)?;
    let (name, span) = match &options.name {
        Some(name) => (name.value(), name.span()),
        None => (naming::of_event(&input.ident.to_string()), input.ident.span()),
    };
    if !naming::is_name(&name) {
        let message = format!(
            "`{name}` cannot be the name of an event: it must match {}; give another one by #[event(name = \"…\")]",
            naming::RULE
        );
        return Err(Error::new(span, message));
    }
    let event = &input.ident;
    let fields = match (options.is_failure, &options.joined) {
        (false, None) => fields::derive(input)?,
        (true, Some(_)) => {
            return Err(Error::new(
                span,
                "an event is either of a failure or of what was joined",
            ));
        }
        (true, None) => told(input, &quote!(::orchestratum_sdk::saga::FailureTerms))?,
        (false, Some(output)) => told(input, &quote!(::orchestratum_sdk::saga::JoinedTerms<#output>))?,
    };
    Ok(quote! {
        #fields

        impl ::orchestratum_sdk::saga::Event for #event {
            const NAME: &'static str = #name;
        }
    })
}

fn options(input: &DeriveInput) -> Result<Options> {
    let mut options = Options::default();
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("event"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("name") {
                options.name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("failure") {
                options.is_failure = true;
            } else if meta.path.is_ident("joined") {
                options.joined = Some(meta.value()?.parse()?);
            } else {
                return Err(meta.error("an event has `name`, `failure` and `joined`"));
            }
            Ok(())
        })?;
    }
    Ok(options)
}

/// An event whose data the server makes.
fn told(input: &DeriveInput, terms: &TokenStream) -> Result<TokenStream> {
    let has_fields = match &input.data {
        Data::Struct(data) => !data.fields.is_empty(),
        Data::Enum(_) | Data::Union(_) => true,
    };
    if has_fields {
        let message =
            "what the server tells of the end of tasks are the data of this event: it is a struct without fields";
        return Err(Error::new(input.ident.span(), message));
    }
    let event = &input.ident;
    Ok(quote! {
        impl ::orchestratum_sdk::saga::Fields for #event {
            type Terms = #terms;

            const NAMES: &'static [&'static str] = <#terms>::NAMES;

            fn terms(place: &::orchestratum_sdk::saga::Place) -> Self::Terms {
                <#terms>::at(place)
            }
        }
    })
}
