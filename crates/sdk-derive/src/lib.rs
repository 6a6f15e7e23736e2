//! The derive macros of the Orchestratum SDK. Use them through `orchestratum-sdk`, which documents them with examples.

mod case;
mod command;
mod event;
mod fields;
mod handler;
mod naming;
mod states;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct or an enum a command: see `orchestratum_sdk::Command`.
#[proc_macro_derive(Command, attributes(command))]
pub fn derive_command(input: TokenStream) -> TokenStream {
    derive_with(input, command::derive)
}

/// Lets a handler get its fields from what the builder was provided with: see `orchestratum_sdk::Handler`.
#[proc_macro_derive(Handler, attributes(handler))]
pub fn derive_handler(input: TokenStream) -> TokenStream {
    derive_with(input, handler::derive)
}

/// Makes a struct an event of a saga: see `orchestratum_sdk::saga`.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    derive_with(input, event::derive)
}

/// Lets the fields of a struct be used in a saga: see `orchestratum_sdk::saga`.
#[proc_macro_derive(Fields)]
pub fn derive_fields(input: TokenStream) -> TokenStream {
    derive_with(input, fields::derive)
}

/// Makes an enum the states of a saga: see `orchestratum_sdk::saga`.
#[proc_macro_derive(States, attributes(state))]
pub fn derive_states(input: TokenStream) -> TokenStream {
    derive_with(input, states::derive)
}

fn derive_with(
    input: TokenStream,
    derive: impl FnOnce(&DeriveInput) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive(&input).unwrap_or_else(|error| error.to_compile_error()).into()
}
