//! The derive macros of the Orchestratum SDK. Use them through `orchestratum-sdk`, which documents them with examples.

mod command;
mod handler;
mod naming;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct or an enum a command: see `orchestratum_sdk::Command`.
#[proc_macro_derive(Command, attributes(command))]
pub fn derive_command(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    command::derive(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Lets a handler get its fields from what the builder was provided with: see `orchestratum_sdk::Handler`.
#[proc_macro_derive(Handler, attributes(handler))]
pub fn derive_handler(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    handler::derive(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
