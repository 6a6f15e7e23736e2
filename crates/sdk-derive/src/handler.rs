//! `#[derive(Handler)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Error, Fields, Result, Token, Type};

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        let message = "a generic handler cannot be discovered: give an instance of it to the builder";
        return Err(Error::new(input.generics.span(), message));
    }
    let commands = commands(input)?;
    let handler = &input.ident;
    let Data::Struct(data) = &input.data else {
        return Err(Error::new(input.span(), "a handler is a struct of what it needs"));
    };
    let types: Vec<&Type> = data.fields.iter().map(|field| &field.ty).collect();
    let made = made(&data.fields);
    Ok(quote! {
        impl ::orchestratum_sdk::FromServices for #handler {
            fn needs() -> ::std::vec::Vec<::orchestratum_sdk::Need> {
                ::std::vec![#(::orchestratum_sdk::Need::of::<#types>()),*]
            }

            fn from_services(services: &mut ::orchestratum_sdk::Scope<'_>) -> Self {
                let _ = &services;
                #made
            }
        }
        #(
            ::orchestratum_sdk::private::inventory::submit! {
                ::orchestratum_sdk::private::DiscoveredHandler::of::<#commands, #handler>(::core::module_path!())
            }
        )*
    })
}

/// Those it is discovered for.
fn commands(input: &DeriveInput) -> Result<Vec<Type>> {
    let mut commands = Vec::new();
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("handler"))
    {
        commands.extend(attribute.parse_args_with(Punctuated::<Type, Token![,]>::parse_terminated)?);
    }
    if commands.is_empty() {
        let message = "say which commands it handles: #[handler(SendEmailCommand)]";
        return Err(Error::new(input.ident.span(), message));
    }
    Ok(commands)
}

fn made(fields: &Fields) -> TokenStream {
    match fields {
        Fields::Unit => quote!(Self),
        Fields::Unnamed(fields) => {
            let services = fields.unnamed.iter().map(|_| quote!(services.get()));
            quote!(Self(#(#services),*))
        }
        Fields::Named(fields) => {
            let names = fields.named.iter().filter_map(|field| field.ident.as_ref());
            quote!(Self { #(#names: services.get()),* })
        }
    }
}
