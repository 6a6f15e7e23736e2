//! What handlers need, found by its type.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::Orchestratum;

type Shared = Box<dyn Any + Send + Sync>;
type Make = Box<dyn Fn() -> Box<dyn Any + Send> + Send + Sync>;

enum Provider {
    Shared(Shared),
    /// Made once for each execution.
    Scoped(Make),
}

/// What the builder was provided with.
#[derive(Default)]
pub(crate) struct Services(HashMap<TypeId, Provider>);

impl Services {
    /// `false` if something of the type is there.
    pub(crate) fn provide<T: Clone + Send + Sync + 'static>(&mut self, service: T) -> bool {
        self.add::<T>(Provider::Shared(Box::new(service)))
    }

    pub(crate) fn provide_scoped<T: Clone + Send + 'static>(
        &mut self,
        make: impl Fn() -> T + Send + Sync + 'static,
    ) -> bool {
        self.add::<T>(Provider::Scoped(Box::new(move || Box::new(make()))))
    }

    fn add<T: 'static>(&mut self, provider: Provider) -> bool {
        self.0.insert(TypeId::of::<T>(), provider).is_none()
    }

    pub(crate) fn has(&self, need: &Need) -> bool {
        self.0.contains_key(&need.id) || need.id == TypeId::of::<Orchestratum>()
    }
}

impl fmt::Debug for Services {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Services({})", self.0.len())
    }
}

/// A type that a handler needs.
#[derive(Debug, Clone, Copy)]
pub struct Need {
    id: TypeId,
    name: &'static str,
}

impl Need {
    pub fn of<T: 'static>() -> Self {
        Self {
            id: TypeId::of::<T>(),
            name: type_name::<T>(),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}

/// What one execution of a handler is made of: what is shared by all, and what was made for this one.
pub struct Scope<'a> {
    services: &'a Arc<Services>,
    /// What runs the handler, unless another one was provided.
    orchestratum: &'a Orchestratum,
    made: HashMap<TypeId, Box<dyn Any + Send>>,
}

impl<'a> Scope<'a> {
    pub(crate) fn new(services: &'a Arc<Services>, orchestratum: &'a Orchestratum) -> Self {
        Self {
            services,
            orchestratum,
            made: HashMap::new(),
        }
    }

    /// # Panics
    /// If nothing of the type was provided, or it is none of those that [`FromServices::needs`] names: those are looked for before
    /// anything is run.
    pub fn get<T: Clone + Send + 'static>(&mut self) -> T {
        let id = TypeId::of::<T>();
        let found: Option<&dyn Any> = match self.services.0.get(&id) {
            None => Some(self.orchestratum),
            Some(Provider::Shared(shared)) => Some(shared.as_ref()),
            Some(Provider::Scoped(make)) => {
                let made: &Box<dyn Any + Send> = self.made.entry(id).or_insert_with(make);
                Some(&**made)
            }
        };
        let found = found.and_then(|found| found.downcast_ref::<T>());
        found
            .unwrap_or_else(|| panic!("nothing of the type `{}` was provided", type_name::<T>()))
            .clone()
    }
}

impl fmt::Debug for Scope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("services", self.services)
            .finish_non_exhaustive()
    }
}

/// What `#[derive(Handler)]` writes: which types a handler needs, and how it is made of them for an execution.
pub trait FromServices: Sized {
    fn needs() -> Vec<Need>;

    fn from_services(services: &mut Scope<'_>) -> Self;
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_is_scoped_is_made_once_for_each_execution_and_what_is_shared_never() -> Result<(), crate::Error> {
        let orchestratum = Orchestratum::embedded("sqlite::memory:").start().await?;
        let count = Arc::new(AtomicU32::new(0));
        let mut services = Services::default();
        assert!(services.provide("shared"));
        assert!(!services.provide("again"), "of this type there is something");
        let counter = Arc::clone(&count);
        assert!(services.provide_scoped(move || counter.fetch_add(1, Ordering::SeqCst)));
        let services = Arc::new(services);
        for expected in 0..2 {
            let mut scope = Scope::new(&services, &orchestratum);
            assert_eq!(scope.get::<u32>(), expected);
            assert_eq!(scope.get::<u32>(), expected, "the same within an execution");
            assert_eq!(scope.get::<&str>(), "again");
        }
        orchestratum.stop().await
    }
}
