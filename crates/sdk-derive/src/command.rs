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
    let timeout = options.timeout_seconds.as_ref().map(|value| {
        let duration = duration("timeout_seconds", value);
        quote! {
            fn timeout(&self) -> ::core::time::Duration { #duration }
        }
    });
    let ttl = options.ttl_seconds.as_ref().map(|value| {
        let duration = duration("ttl_seconds", value);
        quote! {
            fn ttl(&self) -> ::core::option::Option<::core::time::Duration> {
                ::core::option::Option::Some(#duration)
            }
        }
    });
    let retries = options.retries.as_ref().map(retries);
    let target = options.target.as_ref().map(target).transpose()?;
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
        impl ::orchestratum_sdk::saga::TaskKind for #command {
            type Answer = #output;
            const TASK: &'static str = #name;
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

fn target(target: &LitStr) -> Result<TokenStream> {
    let value = target.value();
    if !naming::is_name(&value) {
        let message = format!("`{value}` cannot be a target: it must match {}", naming::RULE);
        return Err(Error::new(target.span(), message));
    }
    Ok(quote! {
        fn target(&self) -> ::core::option::Option<&str> { ::core::option::Option::Some(#target) }
    })
}

/// A number of seconds that a task can have, looked at by the compiler.
fn duration(option: &str, value: &Expr) -> TokenStream {
    let number = number(value);
    let message = format!("`{option}` must lie between 0.001 and 3155760000");
    quote! { {
        const SECONDS: f64 = #number;
        const _: () = ::core::assert!(SECONDS >= 0.001 && SECONDS <= 3_155_760_000.0, #message);
        ::core::time::Duration::from_secs_f64(SECONDS)
    }}
}

fn retries(value: &Expr) -> TokenStream {
    quote! {
        fn retries(&self) -> u16 {
            const RETRIES: u16 = #value;
            const _: () = ::core::assert!(RETRIES <= 1_000, "`retries` must lie between 0 and 1000");
            RETRIES
        }
    }
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
        // `From` is no word of constants yet.
        value => quote!((#value) as f64),
    }
}
