//! Which handlers there are, told or discovered.

use std::any::type_name;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::handler::Context;
use crate::run::{Run, Typed};
use crate::services::{FromServices, Scope, Services};
use crate::{Command, Error, Handler};

/// A command type, wherever in the program it is. What `#[derive(Command)]` submits.
#[derive(Debug)]
pub struct DiscoveredCommand {
    name: &'static str,
    type_name: fn() -> &'static str,
}

impl DiscoveredCommand {
    pub const fn of<C: Command>() -> Self {
        Self {
            name: C::NAME,
            type_name: type_name::<C>,
        }
    }
}

/// A handler, wherever in the program it is. What `#[derive(Handler)]` submits.
#[derive(Debug)]
pub struct DiscoveredHandler {
    module: &'static str,
    registration: fn() -> Registration,
}

impl DiscoveredHandler {
    pub const fn of<C: Command, H: Handler<C> + FromServices>(module: &'static str) -> Self {
        Self {
            module,
            registration: Registration::made::<C, H>,
        }
    }
}

inventory::collect!(DiscoveredCommand);
inventory::collect!(DiscoveredHandler);

/// What makes a handler of what was provided, or says what is missing.
type Build = Box<dyn FnOnce(&Arc<Services>) -> Result<Arc<dyn Run>, Vec<&'static str>> + Send>;

/// A handler that the builder was told of.
pub(crate) struct Registration {
    command: &'static str,
    handler: &'static str,
    build: Build,
}

impl Registration {
    /// One instance for all.
    pub(crate) fn instance<C: Command, H: Handler<C>>(handler: H) -> Self {
        let handler = Arc::new(handler);
        Self {
            command: C::NAME,
            handler: type_name::<H>(),
            build: Box::new(move |_| Ok(Arc::new(Typed::<C, H>::new(move |_| Arc::clone(&handler))))),
        }
    }

    /// Made for each execution.
    pub(crate) fn made<C: Command, H: Handler<C> + FromServices>() -> Self {
        Self {
            command: C::NAME,
            handler: type_name::<H>(),
            build: Box::new(|services| {
                let needs = H::needs().into_iter();
                let missing: Vec<&str> = needs
                    .filter(|need| !services.has(need))
                    .map(|need| need.name())
                    .collect();
                if !missing.is_empty() {
                    return Err(missing);
                }
                let services = Arc::clone(services);
                let make = move |context: &Context| {
                    Arc::new(H::from_services(&mut Scope::new(&services, &context.orchestratum)))
                };
                Ok(Arc::new(Typed::<C, H>::new(make)))
            }),
        }
    }
}

impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} by {}", self.command, self.handler)
    }
}

/// Those of a crate or a module, or all of the program; and that no two commands of the program have one name.
pub(crate) fn discovered(under: Option<&str>) -> Result<Vec<Registration>, Error> {
    let commands = inventory::iter::<DiscoveredCommand>;
    commands_differ(
        commands
            .into_iter()
            .map(|command| (command.name, (command.type_name)())),
    )?;
    let is_under = |module: &str| {
        under.is_none_or(|under| {
            module
                .strip_prefix(under)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
        })
    };
    let mut found: Vec<Registration> = inventory::iter::<DiscoveredHandler>
        .into_iter()
        .filter(|handler| is_under(handler.module))
        .map(|handler| (handler.registration)())
        .collect();
    // The linker knows no order.
    found.sort_by_key(|registration| (registration.command, registration.handler));
    Ok(found)
}

fn commands_differ(commands: impl Iterator<Item = (&'static str, &'static str)>) -> Result<(), Error> {
    let mut seen = BTreeMap::new();
    for (name, type_name) in commands {
        if let Some(other) = seen.insert(name, type_name) {
            let (first, second) = (other.min(type_name), other.max(type_name));
            return Err(Error::DuplicateCommand { name, first, second });
        }
    }
    Ok(())
}

/// What runs the attempts of each command.
#[derive(Clone, Default)]
pub(crate) struct Registry(BTreeMap<&'static str, (Arc<dyn Run>, &'static str)>);

impl Registry {
    /// # Errors
    /// [`Error::DuplicateHandler`], [`Error::MissingServices`] with all that is missing.
    pub(crate) fn build(registrations: Vec<Registration>, services: Services) -> Result<Self, Error> {
        let services = Arc::new(services);
        let mut registry = Self::default();
        let mut lacking = Vec::new();
        for Registration {
            command,
            handler,
            build,
        } in registrations
        {
            if let Some((_, first)) = registry.0.get(command) {
                return Err(Error::DuplicateHandler {
                    command,
                    first,
                    second: handler,
                });
            }
            match build(&services) {
                Ok(run) => {
                    registry.0.insert(command, (run, handler));
                }
                Err(missing) => lacking.extend(missing.into_iter().map(|service| (handler, service))),
            }
        }
        if lacking.is_empty() {
            Ok(registry)
        } else {
            Err(Error::MissingServices(lacking))
        }
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// The command and the type of each.
    pub(crate) fn handlers(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.0.iter().map(|(command, (_, handler))| (*command, *handler))
    }

    pub(crate) fn of(&self, name: &str) -> Option<&Arc<dyn Run>> {
        self.0.get(name).map(|(run, _)| run)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn into_runs(self) -> impl Iterator<Item = (&'static str, Arc<dyn Run>)> {
        self.0.into_iter().map(|(name, (run, _))| (name, run))
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.handlers()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_commands_of_one_name_are_refused_and_both_are_named() {
        let commands = [("a", "x::A"), ("send_email", "x::Send"), ("send_email", "a::Send")];
        let error = commands_differ(commands.into_iter()).expect_err("there are two");
        assert_eq!(
            error.to_string(),
            "two commands are called `send_email`: a::Send and x::Send; give one of them another name by #[command(name = \"…\")]"
        );
    }
}
