//! `#[derive(Command)]`.

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::spanned::Spanned;
use syn::{DeriveInput, Error, Expr, ExprLit, Lit, LitFloat, LitStr, Result, Type};

use crate::naming;

/// What `#[command(…)]` says.
#[derive(Default)]
struct Options {
    name: Option<LitStr>,
    output: Option<Type>,
    timeout_seconds: Option<Expr>,
    ttl_seconds: Option<Expr>,
    retries: Option<Expr>,
    target: Option<LitStr>,
    chain: bool,
}

pub(crate) fn derive(input: &DeriveInput) -> Result<TokenStream> {
    if !input.generics.params.is_empty() {
        let message = "a command has one name and one input: it cannot be generic";
        return Err(Error::new(input.generics.span(), message));
    }
    let options = options(input)?;
    let name = name(input, options.name.as_ref())?;
    let command = &input.ident;
    let output = options.output.map_or_else(|| quote!(()), |output| quote!(#output));
    let timeout = seconds("timeout", options.timeout_seconds.as_ref());
    let ttl = options.ttl_seconds.as_ref().map(number).map(|value| {
        quote! {
            fn ttl(&self) -> ::core::option::Option<::core::time::Duration> {
                ::core::option::Option::Some(::core::time::Duration::from_secs_f64(#value))
            }
        }
    });
    let retries = options
        .retries
        .map(|value| quote! { fn retries(&self) -> u16 { #value } });
    let target = options.target.map(|target| {
        quote! {
            fn target(&self) -> ::core::option::Option<&str> { ::core::option::Option::Some(#target) }
        }
    });
    let chain = (!options.chain).then(|| quote! { impl ::orchestratum_sdk::Chain for #command {} });
    Ok(quote! {
        impl ::orchestratum_sdk::Definition for #command {
            type Output = #output;
            const NAME: &'static str = #name;
            #timeout
            #ttl
            #retries
            #target
        }
        #chain
        ::orchestratum_sdk::private::inventory::submit! {
            ::orchestratum_sdk::private::DiscoveredCommand::of::<#command>()
        }
    })
}

fn options(input: &DeriveInput) -> Result<Options> {
    let mut options = Options::default();
    for attribute in input
        .attrs
        .iter()
        .filter(|attribute| attribute.path().is_ident("command"))
    {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("chain") {
                options.chain = true;
                return Ok(());
            }
            let Some(word) = meta.path.get_ident().map(ToString::to_string) else {
                return Err(meta.error(KNOWN));
            };
            match word.as_str() {
                "name" => options.name = Some(meta.value()?.parse()?),
                "output" => options.output = Some(meta.value()?.parse()?),
                "timeout_seconds" => options.timeout_seconds = Some(meta.value()?.parse()?),
                "ttl_seconds" => options.ttl_seconds = Some(meta.value()?.parse()?),
                "retries" => options.retries = Some(meta.value()?.parse()?),
                "target" => options.target = Some(meta.value()?.parse()?),
                _ => return Err(meta.error(KNOWN)),
            }
            Ok(())
        })?;
    }
    Ok(options)
}

const KNOWN: &str = "a command has `name`, `output`, `timeout_seconds`, `ttl_seconds`, `retries`, `target` and `chain`";

fn name(input: &DeriveInput, explicit: Option<&LitStr>) -> Result<String> {
    let (name, span): (String, Span) = match explicit {
        Some(name) => (name.value(), name.span()),
        None => (naming::by_convention(&input.ident.to_string()), input.ident.span()),
    };
    match naming::fault(&name) {
        Some(message) => Err(Error::new(span, message)),
        None => Ok(name),
    }
}

fn seconds(method: &str, value: Option<&Expr>) -> Option<TokenStream> {
    let method = syn::Ident::new(method, Span::call_site());
    value.map(number).map(|value| {
        quote! {
            fn #method(&self) -> ::core::time::Duration {
                ::core::time::Duration::from_secs_f64(#value)
            }
        }
    })
}

/// A number of seconds may be written as a whole one, however large.
fn number(value: &Expr) -> TokenStream {
    match value {
        Expr::Lit(ExprLit {
            lit: Lit::Int(digits), ..
        }) => {
            let digits = LitFloat::new(&format!("{}.0", digits.base10_digits()), digits.span());
            quote!(#digits)
        }
        value => quote!(f64::from(#value)),
    }
}
