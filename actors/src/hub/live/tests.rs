//! What live queries cost, and who is told what was read for whom; their order is in the simulation.

use std::rc::Rc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::{PATIENCE, READS};
use crate::hub::testing::{Counter, Lines, User, World, change, commit};
use crate::hub::{ClientKey, Done, Effects, HubState, Refusal, SetTopics, Ticket, Topics};
use crate::subscription::{Subscription, SubscriptionLimits};
use crate::{Position, Seq};

struct Scene {
    world: Rc<World>,
    hub: HubState<Rc<World>>,
    work: Vec<LocalBoxFuture<'static, Done<()>>>,
    answers: Vec<Result<Position, Refusal>>,
    last: u64,
}

impl Scene {
    fn new() -> Scene {
        let world = Rc::new(World::default());
        world.page.set(100);
        let limits = SubscriptionLimits { live: 3, ..SubscriptionLimits::default() };
        let hub = HubState::new(world.clone(), "epoch000".parse().unwrap(), Seq::ZERO, limits);
        Scene { world, hub, work: Vec::new(), answers: Vec::new(), last: 0 }
    }

    /// Takes what follows from something, and what was waited for if it is there.
    fn apply(&mut self, effects: Effects<()>) {
        let Effects { work, answers, .. } = effects;
        self.answers.extend(answers.into_iter().map(|(_, answer)| answer));
        self.work.extend(work);
        for mut work in std::mem::take(&mut self.work) {
            match (&mut work).now_or_never() {
                Some(done) => {
                    let effects = self.hub.done(done);
                    self.apply(effects);
                }
                None => self.work.push(work),
            }
        }
    }

    /// A client with these topics.
    fn client(&mut self, user: &str, texts: &[&str]) -> Rc<Subscription> {
        let client = self.hub.connect(&Lines, (), Rc::new(Counter::default()), None);
        self.set(client.key, user, Topics::Replace(texts.iter().map(|text| text.to_string()).collect()));
        client
    }

    fn set(&mut self, client: ClientKey, user: &str, topics: Topics) {
        let caller = Some(User(user.to_owned()));
        let (from, ticket) = (Seq(self.last), Ticket::default());
        let effects =
            self.hub.set_topics(SetTopics { client, topics, caller, any_caller: true, from, since: None, ticket });
        self.apply(effects);
    }

    /// Commits a change, and hands it over.
    fn write(&mut self, name: &str, record: &str) {
        self.last += 1;
        let changes = vec![change(self.last, name, record)];
        self.world.write(&changes);
        let effects = self.hub.commit(commit(changes));
        self.apply(effects);
    }

    /// Lets everything come that is waited for.
    fn release(&mut self) {
        loop {
            let Some(next) = self.world.held.borrow_mut().pop_front() else { return };
            let _ = next.send(());
            self.apply(Effects::default());
        }
    }

    /// Reads that are under way.
    fn under_way(&self) -> usize {
        self.world.held.borrow().len()
    }

    /// The reads since the last time: as whom, and whether whole.
    fn reads(&self) -> Vec<(String, bool)> {
        self.world.reads.take().into_iter().map(|(_, user, whole)| (user, whole)).collect()
    }
}

/// What a client was told since the last time, by its data.
fn told(client: &Subscription) -> Vec<String> {
    let mut bytes = Vec::new();
    let taken = client.state.borrow_mut().write(|pieces| {
        bytes.extend(pieces.iter().flat_map(|piece| piece.iter()));
        Ok(pieces.iter().map(|piece| piece.len()).sum())
    });
    taken.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    text.lines().filter_map(|line| line.strip_prefix("data:")).map(str::to_owned).collect()
}

fn page(at: u64, user: &str, items: &str) -> String {
    format!(r#"{{"page":{at},"user":"{user}","items":{{{items}}}}}"#)
}

#[test]
fn what_many_ask_for_at_a_time_is_read_once() {
    let mut scene = Scene::new();
    scene.world.slow_reads.set(true);
    let clients: Vec<_> = (0..5).map(|_| scene.client("", &["posts/*?live", "posts/*?window"])).collect();
    // The first one's are being read; the others are given what is read after they came.
    assert_eq!(scene.under_way(), 2);
    scene.release();
    assert_eq!(scene.reads().len(), 4);
    for client in clients {
        assert_eq!(told(&client), [page(0, "", ""), page(0, "", "")]);
    }
}

#[test]
fn a_window_is_read_once_more_whatever_is_written_while_it_is_read() {
    let mut scene = Scene::new();
    let client = scene.client("", &["posts/*?window"]);
    assert_eq!(scene.reads(), [(String::new(), true)]);
    scene.world.slow_reads.set(true);
    for record in ["a", "b", "c", "d"] {
        scene.write("posts", record);
    }
    assert_eq!(scene.under_way(), 1);
    scene.release();
    // Nobody is shown how many there are in all, so nobody counts.
    assert_eq!(scene.reads(), [(String::new(), false), (String::new(), false)]);
    let expected = [
        page(0, "", ""),
        r#"{"id":"a","is":"1"}"#.into(),
        r#"{"id":"a","is":null}"#.into(),
        r#"{"id":"d","is":"4"}"#.into(),
        r#"{"id":"c","is":"3"}"#.into(),
    ];
    assert_eq!(told(&client), expected);
    scene.write("notes", "a");
    assert_eq!(scene.under_way(), 0);
}

#[test]
fn what_is_new_in_a_window_is_found_once_for_all_who_hold_it() {
    let mut scene = Scene::new();
    let clients: Vec<_> = (0..5).map(|_| scene.client("", &["posts/*?window"])).collect();
    let before = scene.world.compared.get();
    scene.write("posts", "a");
    assert_eq!(scene.world.compared.get(), before + 1);
    for client in clients {
        assert_eq!(told(&client).last().unwrap(), r#"{"id":"a","is":"1"}"#);
    }
}

#[test]
fn who_becomes_another_again_and_again_is_read_for_once_at_a_time() {
    let mut scene = Scene::new();
    scene.write("secret", "a");
    scene.world.slow_reads.set(true);
    let client = scene.client("", &["secret/*?live", "secret/*?window"]);
    for user in ["ann", ""].into_iter().cycle().take(21) {
        scene.set(client.key, user, Topics::Add(Vec::new()));
        // By whom it is asked, and for which text.
        assert!(scene.under_way() <= 4, "{}", scene.under_way());
    }
    scene.release();
    // What was read for somebody else, or before he was it again, is told nobody.
    assert_eq!(told(&client), [page(1, "ann", r#""a":"1""#), page(1, "ann", r#""a":"1""#)]);
}

#[test]
fn whose_values_changed_is_read_for_anew() {
    let mut scene = Scene::new();
    let client = scene.client("ann", &["posts/*?live", "posts/*?window"]);
    assert_eq!(told(&client).len(), 2);
    scene.world.slow_reads.set(true);
    scene.set(client.key, "bob", Topics::Add(Vec::new()));
    let effects = scene.hub.refresh(User("bob".into()), Seq(0));
    scene.apply(effects);
    scene.release();
    assert_eq!(scene.reads().len(), 6);
    assert_eq!(told(&client), [page(0, "bob", ""), page(0, "bob", "")]);

    let effects = scene.hub.revoke("pbc_users".into());
    scene.apply(effects);
    scene.release();
    assert_eq!(told(&client), [page(0, "", ""), page(0, "", "")]);
}

/// Also while what was committed since the page is being decided.
#[test]
fn a_page_for_somebody_else_is_told_nobody() {
    let mut scene = Scene::new();
    let client = scene.client("ann", &[]);
    scene.world.slow_reads.set(true);
    scene.set(client.key, "ann", Topics::Replace(vec!["secret/*?live".into()]));
    scene.write("secret", "a");
    scene.world.slow.set(true);
    // The page comes, without the record; whether it may be seen is asked.
    let page_came = scene.world.held.borrow_mut().pop_front().unwrap();
    page_came.send(()).unwrap();
    scene.apply(Effects::default());
    assert_eq!((scene.under_way(), told(&client).len()), (1, 0));
    let effects = scene.hub.demote(client.key);
    scene.apply(effects);
    scene.release();
    assert_eq!(told(&client), [page(1, "", "")]);
}

#[test]
fn what_cannot_be_read_is_told_once_and_not_read_again() {
    let mut scene = Scene::new();
    let client = scene.client("", &["posts/*?broken"]);
    scene.write("posts", "a");
    scene.write("posts", "b");
    assert_eq!((scene.reads().len(), told(&client).len()), (1, 1));
    assert_eq!(scene.world.judged.get(), 0);
    // Who comes later is told too.
    let other = scene.client("", &["posts/*?broken"]);
    assert_eq!((scene.reads().len(), told(&client).len(), told(&other).len()), (1, 0, 1));
}

#[test]
fn what_could_not_be_read_this_time_is_read_a_moment_later() {
    let mut scene = Scene::new();
    scene.world.failing.set(1);
    let client = scene.client("", &["posts/*?live", "posts/*?window"]);
    scene.world.failing.set(0);
    assert_eq!(told(&client), [""; 0]);
    let effects = scene.hub.tick();
    scene.apply(effects);
    assert_eq!(told(&client), [page(0, "", ""), page(0, "", "")]);
}

#[test]
fn a_window_that_was_shown_is_tried_again_when_it_takes_too_long() {
    let mut scene = Scene::new();
    let client = scene.client("", &["posts/*?window"]);
    assert_eq!(told(&client).len(), 1);
    let again = |scene: &mut Scene| {
        let effects = scene.hub.tick();
        scene.apply(effects);
    };
    for _ in 0..2 {
        // The machine is busy for a while, but not as long as that counts.
        scene.world.late.set(true);
        scene.write("posts", "a");
        (2..PATIENCE).for_each(|_| again(&mut scene));
        assert_eq!(told(&client), [""; 0]);
        scene.world.late.set(false);
        again(&mut scene);
        assert_eq!(told(&client).len(), 1);
    }
    scene.world.late.set(true);
    scene.write("posts", "a");
    (1..PATIENCE).for_each(|_| again(&mut scene));
    let error = [r#"{"error":"late"}"#];
    assert_eq!(told(&client), error);
    scene.world.reads.take();
    again(&mut scene);
    assert_eq!(scene.reads().len(), 0);
    // Who comes now has not seen that it can be read.
    let others = [scene.client("", &["posts/*?window"]), scene.client("", &["posts/*?live"])];
    assert_eq!(others.map(|other| told(&other)), [error, error]);
    // Whoever goes takes along what is known of it.
    scene.world.late.set(false);
    let client = scene.client("ann", &["posts/*?window"]);
    scene.world.late.set(true);
    scene.write("posts", "b");
    scene.hub.disconnect(client.key);
    again(&mut scene);
    assert!(scene.hub.is_tidy());
}

#[test]
fn a_hub_reads_only_so_much_at_a_time() {
    let mut scene = Scene::new();
    scene.world.slow_reads.set(true);
    let texts: Vec<String> = (0..3 * READS).map(|n| format!("c{n}/*?live")).collect();
    let clients: Vec<_> = texts.iter().map(|text| scene.client("", &[text])).collect();
    assert_eq!(scene.under_way(), READS);
    // Whoever has gone when it is his turn is not read for.
    scene.hub.disconnect(clients[2 * READS].key);
    scene.release();
    assert_eq!(scene.reads().len(), 3 * READS - 1);
    assert_eq!(clients.iter().filter(|client| told(client).len() == 1).count(), 3 * READS - 1);
}

#[test]
fn a_client_holds_only_so_many() {
    let mut scene = Scene::new();
    let texts = ["posts/*?live", "posts/*?window", "notes/*?live"];
    let client = scene.client("", &texts);
    scene.set(client.key, "", Topics::Add(vec!["posts/*".into(), "posts/*?live".into()]));
    scene.set(client.key, "", Topics::Add(vec!["notes/*?window".into()]));
    assert!(scene.answers.pop().unwrap().is_err_and(|refusal| refusal == Refusal::TooManyLive));
    assert!(scene.answers.iter().all(Result::is_ok));
}
