//! What only the database can tell about a commit: expressions of rules, filters of subscriptions, relations to expand;
//! and what extensions add to a record for each who sees it.
//!
//! All questions of a commit go to one Reader together, each for a record as the commit left it (or as it was before a
//! delete). Rules, which owners wrote, come before filters, which anybody may write.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_actors::Action;
use headwater_actors::hub::{ClientKey, Decided, Delivery, InterestId};
use rusqlite::{Connection, ErrorCode};

use super::options::Options;
use super::payload::{leave, payload};
use super::topic;
use crate::app::App;
use crate::query::{Base, QueryError, Select};
use crate::records::{Record, Shows, expand, present, shows};
use crate::request::{Caller, RequestInfo};
use crate::schema::{Rule, Schema};

/// How long a commit may keep a hub waiting for its rules.
pub(super) const RULES: Limits = Limits { once: Duration::from_secs(5), commit: Duration::from_secs(10) };
/// And for its filters.
const FILTERS: Limits = Limits { once: Duration::from_secs(1), commit: Duration::from_secs(2) };

pub(super) struct Limits {
    /// For one read. Whose question is being asked when it is over has no answer to any of his; the others are asked anew.
    pub once: Duration,
    /// For all of them. What is not answered then has no answer.
    commit: Duration,
}

/// The questions of one commit.
pub(super) struct Questions {
    schema: Arc<Schema>,
    subjects: Vec<Subject>,
    /// Each with the place of its subject.
    of_rules: VecDeque<(usize, Question)>,
    of_filters: VecDeque<(usize, Question)>,
}

pub(super) struct Subject {
    /// The place of the change in its commit.
    pub change: usize,
    pub action: Action,
    pub record: Record,
    /// As it was before an update.
    pub before: Option<Record>,
}

/// Whether one listener sees a record, and as what.
pub(super) struct Question {
    pub interest: InterestId,
    /// Open where it was answered already.
    pub rule: Rule,
    /// The options' filter was not answered in memory.
    pub asks_filter: bool,
    pub options: Option<Arc<Options>>,
    pub caller: Caller,
    /// Who listens, if it is one client only.
    pub client: Option<ClientKey>,
}

impl Question {
    /// Whether both are asked on behalf of the same record or the same client.
    fn is_of_same(&self, other: &Question) -> bool {
        self.interest == other.interest
            || match (self.caller.record(), other.caller.record()) {
                (Some(own), Some(other)) => own.collection.id == other.collection.id && own.id() == other.id(),
                (None, None) => self.client.is_some() && self.client == other.client,
                _ => false,
            }
    }
}

/// What a Reader made of questions.
struct Answers {
    subjects: Vec<Subject>,
    decided: Decided,
    /// Being asked when the time was over.
    interrupted: Option<Question>,
    /// Not asked, because the time was over.
    rest: VecDeque<(usize, Question)>,
    spent: Duration,
}

impl Questions {
    pub(super) fn new(schema: Arc<Schema>) -> Questions {
        Questions { schema, subjects: Vec::new(), of_rules: VecDeque::new(), of_filters: VecDeque::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// Adds questions about one change.
    pub(super) fn add(&mut self, mut subject: Subject, questions: Vec<Question>) {
        // Whoever was shown it last may have seen more than others may.
        subject.record.shows = Shows::default();
        let place = self.subjects.len();
        self.subjects.push(subject);
        for question in questions {
            let list = if question.asks_filter { &mut self.of_filters } else { &mut self.of_rules };
            list.push_back((place, question));
        }
    }

    /// Asks all of it. `spent`: what the commit's rules took already.
    pub(super) async fn ask(self, app: &App, decided: &mut Decided, spent: Duration) {
        let Questions { schema, mut subjects, of_rules, of_filters } = self;
        let rules = Limits { commit: RULES.commit.saturating_sub(spent), ..RULES };
        let mut passes = VecDeque::from([(rules, of_rules), (FILTERS, of_filters)]);
        while let Some((limits, mut questions)) = passes.pop_front() {
            let mut left = limits.commit;
            while !questions.is_empty() {
                let interests: Vec<InterestId> = questions.iter().map(|(_, question)| question.interest).collect();
                if left.is_zero() {
                    log::warn!("realtime: the time was over before {} questions", interests.len());
                    decided.failed.extend(interests);
                    break;
                }
                let (job_app, schema) = (app.clone(), schema.clone());
                let job = move |conn: &Connection| answer_all(&job_app, conn, &schema, subjects, questions);
                let asked = app.readers.run_within(left.min(limits.once), job).await;
                let answers = match asked {
                    Ok(answers) => answers,
                    Err(error) => {
                        log::warn!("realtime: {} listeners could not be decided: {error}", interests.len());
                        decided.failed.extend(interests);
                        // The records went with the failed read, so what was to be asked after it has no answer either.
                        let others = passes.iter().flat_map(|(_, questions)| questions);
                        decided.failed.extend(others.map(|(_, question)| question.interest));
                        return;
                    }
                };
                left = left.saturating_sub(answers.spent);
                subjects = answers.subjects;
                questions = answers.rest;
                decided.deliveries.extend(answers.decided.deliveries);
                decided.failed.extend(answers.decided.failed);
                if let Some(slow) = answers.interrupted {
                    // He would use up the time again.
                    let later = passes.iter_mut().map(|(_, questions)| questions);
                    for questions in std::iter::once(&mut questions).chain(later) {
                        let is_his = |(_, question): &(usize, Question)| question.is_of_same(&slow);
                        decided.failed.extend(questions.iter().filter(|own| is_his(own)).map(|(_, own)| own.interest));
                        questions.retain(|own| !is_his(own));
                    }
                }
            }
        }
    }
}

/// Why there is no answer.
enum Unanswered {
    /// The listener sees nothing: what it asks for is no question at all, and will not be one the next time.
    Senseless,
    /// The time was over.
    Interrupted,
    /// The database did not answer; it might another time.
    Failed,
}

fn answer_all(
    app: &App,
    conn: &Connection,
    schema: &Schema,
    subjects: Vec<Subject>,
    mut questions: VecDeque<(usize, Question)>,
) -> Answers {
    let begin = Instant::now();
    let (mut decided, mut interrupted) = (Decided::default(), None);
    while let Some((place, question)) = questions.pop_front() {
        let Some(subject) = subjects.get(place) else { continue };
        match answer(app, conn, schema, subject, &question) {
            Ok(delivery) => decided.deliveries.extend(delivery),
            Err(Unanswered::Senseless) => {}
            Err(Unanswered::Failed) => decided.failed.push(question.interest),
            Err(Unanswered::Interrupted) => {
                decided.failed.push(question.interest);
                interrupted = Some(question);
                break;
            }
        }
    }
    Answers { subjects, decided, interrupted, rest: questions, spent: begin.elapsed() }
}

fn answer(
    app: &App,
    conn: &Connection,
    schema: &Schema,
    subject: &Subject,
    question: &Question,
) -> Result<Option<Delivery>, Unanswered> {
    let options = question.options.as_deref();
    let request = RequestInfo { caller: current(&question.caller, schema), ..topic::request(options) };
    let request = Arc::new(request);
    let filter = options.and_then(Options::filter).filter(|_| question.asks_filter);
    let word = if options.is_some_and(|options| options.live) {
        let belongs = |record: &Record| meets(conn, schema, record, &request, &question.rule, filter);
        let was = match (subject.action, &subject.before) {
            (Action::Update, Some(before)) => belongs(before)?,
            (Action::Delete, _) => belongs(&subject.record)?,
            _ => false,
        };
        let is = subject.action != Action::Delete && belongs(&subject.record)?;
        match (was, is) {
            (false, false) => return Ok(None),
            (true, false) => {
                let payload = leave(subject.record.id());
                return Ok(Some(Delivery { change: subject.change, interest: question.interest, payload }));
            }
            (false, true) => "enter",
            (true, true) => "change",
        }
    } else if meets(conn, schema, &subject.record, &request, &question.rule, filter)? {
        subject.action.as_str()
    } else {
        return Ok(None);
    };
    let mut record = subject.record.clone();
    record.shows = Shows::default();
    if !shows::decide_without_database(std::slice::from_mut(&mut record), &request) {
        // The record may be gone from its table, or another one by now: the manager's rule is asked of it as it was.
        let rule = shows::manage_rule(&record.collection).map_or(Rule::Sealed, |rule| Rule::When(rule.into()));
        record.shows.email = match meets(conn, schema, &subject.record, &request, &rule, None) {
            Err(Unanswered::Senseless) => false,
            shown => shown?,
        };
    }
    if let Some(paths) = options.and_then(Options::expand) {
        expand::expand(conn, schema, std::slice::from_mut(&mut record), paths, &request).map_err(unanswered)?;
    }
    present::enrich(app, std::slice::from_mut(&mut record), &request).map_err(|error| {
        log::warn!("realtime: a handler kept an event back: {error}");
        Unanswered::Senseless
    })?;
    let payload = payload(&record, word, options);
    Ok(Some(Delivery { change: subject.change, interest: question.interest, payload }))
}

/// A caller by the collection as it is now: rules may name fields that came after he did.
fn current(caller: &Caller, schema: &Schema) -> Caller {
    match caller.record().and_then(|record| Some((record, schema.by_id(&record.collection.id)?))) {
        Some((record, collection)) if !Arc::ptr_eq(collection, &record.collection) => {
            Caller::of(Arc::new(Record::from_row(collection.clone(), &record.collection, &record.to_row())))
        }
        _ => caller.clone(),
    }
}

/// Whether a record meets a rule and a filter.
fn meets(
    conn: &Connection,
    schema: &Schema,
    record: &Record,
    request: &RequestInfo,
    rule: &Rule,
    filter: Option<&str>,
) -> Result<bool, Unanswered> {
    let mut select = Select::new(schema, &record.collection, request, Base::Snapshot(record));
    match rule {
        Rule::Sealed => return Ok(false),
        Rule::Open if filter.is_none() => return Ok(true),
        Rule::Open => {}
        Rule::When(rule) => {
            select.rule(rule).map_err(refused)?;
        }
    }
    if let Some(filter) = filter {
        select.filter(filter).map_err(refused)?;
    }
    select.exists().any(conn).map_err(unanswered)
}

fn refused(error: QueryError) -> Unanswered {
    log::debug!("realtime: {error}");
    Unanswered::Senseless
}

fn unanswered(error: rusqlite::Error) -> Unanswered {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => Unanswered::Interrupted,
        // The statement itself was refused, as it will be each time.
        Some(ErrorCode::Unknown | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
            log::debug!("realtime: {error}");
            Unanswered::Senseless
        }
        _ => {
            log::warn!("realtime: a rule could not be decided: {error}");
            Unanswered::Failed
        }
    }
}
