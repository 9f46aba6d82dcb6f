//! Typed events that extensions, and our own code, attach to.
//!
//! A [`Hook`] is an ordered list of handlers around a default action, like the layers of an onion: a handler does its
//! work before and after it calls `next`. Lower priorities are further out; equal ones keep the order of binding.
//! A handler that returns an error stops the chain, and the error unwinds outward.

use std::sync::{Arc, PoisonError, RwLock};

/// Calls the layers further in, down to the default action.
pub type Next<'a, E, X> = &'a mut dyn FnMut(&mut E) -> Result<(), X>;

type Call<E, X> = dyn Fn(&mut E, Next<'_, E, X>) -> Result<(), X> + Send + Sync;

/// One layer of a hook.
pub struct Handler<E, X> {
    /// Binding another handler of the same id replaces this one; empty for none.
    pub id: &'static str,
    pub priority: i32,
    /// The collections, by name or id, that it is for; empty for all.
    pub tags: Vec<String>,
    call: Arc<Call<E, X>>,
}

impl<E, X> Clone for Handler<E, X> {
    fn clone(&self) -> Self {
        Handler { id: self.id, priority: self.priority, tags: self.tags.clone(), call: self.call.clone() }
    }
}

impl<E, X> Handler<E, X> {
    pub fn new(call: impl Fn(&mut E, Next<'_, E, X>) -> Result<(), X> + Send + Sync + 'static) -> Handler<E, X> {
        Handler { id: "", priority: 0, tags: Vec::new(), call: Arc::new(call) }
    }

    pub fn id(self, id: &'static str) -> Self {
        Handler { id, ..self }
    }

    pub fn priority(self, priority: i32) -> Self {
        Handler { priority, ..self }
    }

    pub fn tags(self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Handler { tags: tags.into_iter().map(Into::into).collect(), ..self }
    }
}

/// An event that can be about a collection; handlers with tags see it only if one of these names is theirs.
pub trait Tagged {
    /// Name and id of the collection, or nothing.
    fn tags(&self) -> [&str; 2];
}

/// A place where handlers attach. `E` is the event, `X` the error of its pipeline.
pub struct Hook<E, X> {
    handlers: RwLock<Arc<Vec<Handler<E, X>>>>,
}

impl<E, X> Default for Hook<E, X> {
    fn default() -> Self {
        Hook { handlers: RwLock::default() }
    }
}

impl<E: Tagged, X> Hook<E, X> {
    /// Adds a layer, or replaces the one of the same id.
    pub fn bind(&self, handler: Handler<E, X>) {
        let mut handlers = self.handlers.write().unwrap_or_else(PoisonError::into_inner);
        let mut list: Vec<_> =
            handlers.iter().filter(|h| handler.id.is_empty() || h.id != handler.id).cloned().collect();
        let place = list.partition_point(|h| h.priority <= handler.priority);
        list.insert(place, handler);
        *handlers = Arc::new(list);
    }

    /// Removes the layer of this id.
    pub fn unbind(&self, id: &str) {
        let mut handlers = self.handlers.write().unwrap_or_else(PoisonError::into_inner);
        *handlers = Arc::new(handlers.iter().filter(|h| h.id != id).cloned().collect());
    }

    /// True if nothing is attached: hot paths then skip the event altogether.
    pub fn is_empty(&self) -> bool {
        self.handlers.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Runs the layers around `action`.
    pub fn trigger(&self, event: &mut E, mut action: impl FnMut(&mut E) -> Result<(), X>) -> Result<(), X> {
        let handlers = self.handlers.read().unwrap_or_else(PoisonError::into_inner).clone();
        run(&handlers, event, &mut action)
    }
}

fn run<E: Tagged, X>(
    handlers: &[Handler<E, X>],
    event: &mut E,
    action: &mut dyn FnMut(&mut E) -> Result<(), X>,
) -> Result<(), X> {
    let Some((outer, inner)) = handlers.split_first() else { return action(event) };
    let concerned = outer.tags.is_empty() || event.tags().iter().any(|tag| outer.tags.iter().any(|own| own == tag));
    if concerned { (outer.call)(event, &mut |event| run(inner, event, action)) } else { run(inner, event, action) }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Event {
        collection: &'static str,
        trace: Vec<&'static str>,
    }

    impl Tagged for Event {
        fn tags(&self) -> [&str; 2] {
            [self.collection, ""]
        }
    }

    fn layer(before: &'static str, after: &'static str) -> Handler<Event, &'static str> {
        Handler::new(move |event: &mut Event, next: Next<'_, Event, &'static str>| {
            event.trace.push(before);
            next(event)?;
            event.trace.push(after);
            Ok(())
        })
    }

    fn trace(hook: &Hook<Event, &'static str>, collection: &'static str) -> Vec<&'static str> {
        let mut event = Event { collection, trace: Vec::new() };
        let _ = hook.trigger(&mut event, |event| {
            event.trace.push("action");
            Ok(())
        });
        event.trace
    }

    #[test]
    fn layers_nest_by_priority_then_by_order_of_binding() {
        let hook = Hook::default();
        hook.bind(layer("b1", "b2"));
        hook.bind(layer("c1", "c2"));
        hook.bind(layer("a1", "a2").priority(-1));
        assert_eq!(trace(&hook, "posts"), ["a1", "b1", "c1", "action", "c2", "b2", "a2"]);
    }

    #[test]
    fn tags_limit_a_handler_to_its_collections() {
        let hook = Hook::default();
        hook.bind(layer("u1", "u2").tags(["users"]));
        assert_eq!(trace(&hook, "posts"), ["action"]);
        assert_eq!(trace(&hook, "users"), ["u1", "action", "u2"]);
    }

    #[test]
    fn a_handler_without_next_skips_what_is_deeper_and_an_error_unwinds() {
        let hook = Hook::default();
        hook.bind(layer("a1", "a2"));
        hook.bind(Handler::new(|_: &mut Event, _| Ok(())));
        assert_eq!(trace(&hook, "posts"), ["a1", "a2"]);
        hook.bind(Handler::new(|_: &mut Event, _| Err("no")).id("failing").priority(-5));
        assert_eq!(trace(&hook, "posts"), Vec::<&str>::new());
        hook.unbind("failing");
        assert_eq!(trace(&hook, "posts"), ["a1", "a2"]);
    }
}
