//! What is done with the journal before anything else is written: everything that the database lacks is brought in.
//!
//! Safe to be cut short anywhere: each step writes its charges, the list of answers not yet handed over and how far it
//! has come in one transaction, and the next start begins behind it.

use super::open::Open;
use super::writer::Writer;
use crate::cells::{Cells as _, corrupt};
use crate::charges::Queued;
use crate::charges::shared::{News, Place};
use crate::error::{Error, OpenError};
use crate::journal::disk::Files;
use crate::journal::item::{self, Item};
use crate::journal::log::{Log, Shape, Unflushed, Unreadable};
use crate::journal::{Position, frame};
use crate::record_body::Body;
use claviger_domain::id::RequestId;
use claviger_domain::limits;
use claviger_domain::money::Nano;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

const BEGIN: &str = "INSERT OR IGNORE INTO journal (node, number, chain) VALUES ('', 0, ?)";
const FIND_POSITION: &str = "SELECT number, chain FROM journal WHERE node = ''";
const FIND_PENDING: &str = "SELECT pending FROM delivery WHERE id = 1";
const LIST_BALANCES: &str = "SELECT org_id, balance FROM wallet";

/// The directory of the segments, beside the database.
const DIRECTORY: &str = "journal";

/// Opens the journal of a database: its end, and what the database does not have.
///
/// # Errors
/// The journal is damaged, or not this database's; nothing was changed.
pub(crate) async fn open_journal(
    open: &mut Open,
    database: &Path,
) -> Result<(Log<Files>, Position, Vec<Unflushed>), OpenError> {
    let connection = &mut open.connection;
    sqlx::query(BEGIN).bind(vec![0_u8; size_of::<frame::Chain>()]).execute(&mut *connection).await?;
    let row = sqlx::query(FIND_POSITION).fetch_one(&mut *connection).await?;
    let number = row.int("number")?;
    let known = Position {
        number: u64::try_from(number).map_err(|_| corrupt("journal.number", &number.to_string()))?,
        chain: row.bytes("chain")?.try_into().map_err(|_| corrupt("journal.chain", &number.to_string()))?,
    };
    let directory = database.parent().unwrap_or(Path::new(".")).join(DIRECTORY);
    let is_missing = !directory.exists();
    let shape = Shape { segments: limits::JOURNAL_SEGMENTS, bytes: limits::JOURNAL_SEGMENT_BYTES };
    let bytes = u64::try_from(shape.bytes).unwrap_or(u64::MAX);
    let refused = |source: std::io::Error| OpenError::Directory { path: directory.display().to_string(), source };
    let files = Files::open(&directory, shape.segments, bytes).map_err(refused)?;
    if is_missing && known.number > 0 {
        tracing::warn!("{} was missing and is begun anew: charges that only it had are lost", directory.display());
    }
    let (log, unflushed) = Log::open(files, shape, known).map_err(|error| match error {
        Unreadable::Io(source) => refused(source),
        other => OpenError::Journal { directory: directory.display().to_string(), what: other.to_string() },
    })?;
    Ok((log, known, unflushed))
}

/// A frame's charges, and the answers that left no last piece as far as their records come with it or came before.
struct Step<'a> {
    position: Position,
    charges: Vec<Body<'a>>,
    undelivered: Vec<Place>,
}

impl Writer {
    /// Brings everything that the journal has into the database, and loads what the wallets can pay.
    ///
    /// # Errors
    /// A frame that this program did not write, or the database's.
    pub(crate) async fn replay(&mut self, mut known: Position, unflushed: &[Unflushed]) -> Result<(), OpenError> {
        let row = sqlx::query(FIND_PENDING).fetch_one(self.connection()).await.map_err(Error::from)?;
        let (steps, marked) = steps(unflushed)?;
        let pending = row.text("pending")?;
        let mut pending: BTreeSet<RequestId> = pending.split(',').filter_map(|id| id.parse().ok()).collect();
        pending.retain(|request| !marked.contains(request));
        for step in steps {
            let awaited = step
                .charges
                .iter()
                .map(|body| &body.columns)
                .filter(|columns| columns.expects_mark())
                .map(|columns| columns.id);
            pending.extend(awaited.filter(|request| !marked.contains(request)));
            let ids: Vec<String> = pending.iter().map(ToString::to_string).collect();
            let news = News { undelivered: step.undelivered, pending: Some(ids.join(",")), ..News::default() };
            // The database may have the intent of any of them.
            let group = step.charges.iter().map(|body| Queued::journaled(&body.columns, true, None)).collect();
            self.write(group, &news, Some(step.position)).await?;
            known = step.position;
        }
        if !unflushed.is_empty() {
            tracing::info!("{} groups of charges were brought from the journal to the database", unflushed.len());
        }
        self.journal().backlog.begin_at(known);
        self.load_book().await?;
        Ok(())
    }

    async fn load_book(&mut self) -> Result<(), Error> {
        let rows = sqlx::query(LIST_BALANCES).fetch_all(self.connection()).await?;
        let balances = rows.iter().map(|row| Ok((row.parsed("org_id")?, Nano(row.int("balance")?))));
        let balances = balances.collect::<Result<Vec<_>, Error>>()?;
        self.journal().book.lock().load(balances);
        Ok(())
    }
}

/// The frames as steps, and every request whose answer's fate any of them tells.
fn steps(unflushed: &[Unflushed]) -> Result<(Vec<Step<'_>>, HashSet<RequestId>), Error> {
    let mut steps: Vec<Step<'_>> = Vec::with_capacity(unflushed.len());
    let (mut marked, mut place_of) = (HashSet::new(), HashMap::new());
    for (index, frame) in unflushed.iter().enumerate() {
        let number = frame.position.number;
        let items = item::read_all(&frame.payload).ok_or_else(|| corrupt("journal", &number.to_string()))?;
        let mut step = Step { position: frame.position, charges: Vec::new(), undelivered: Vec::new() };
        let mut undelivered = Vec::new();
        for item in items {
            match item {
                Item::Charge(body) => {
                    place_of.insert(body.columns.id, index);
                    step.charges.push(*body);
                }
                Item::Mark(mark) => {
                    marked.insert(mark.request);
                    undelivered.extend((!mark.is_delivered).then_some(mark));
                }
            }
        }
        steps.push(step);
        for mark in undelivered {
            // With its record; one that the database has is corrected with the first frame.
            let index = place_of.get(&mark.request).copied().unwrap_or(0);
            if let Some(step) = steps.get_mut(index) {
                step.undelivered.push(Place { organization: mark.organization, request: mark.request });
            }
        }
    }
    Ok((steps, marked))
}

/// The texts of this file, for the test that prepares them.
pub(crate) fn statements() -> Vec<(&'static str, String)> {
    let texts = [
        ("journal begin", BEGIN),
        ("journal position", FIND_POSITION),
        ("pending", FIND_PENDING),
        ("balances", LIST_BALANCES),
    ];
    texts.map(|(name, sql)| (name, sql.to_owned())).into()
}
