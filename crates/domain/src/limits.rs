//! Every bound of the program: value, unit, reason.
//!
//! Nothing grows without one of these. Who enforces a bound is not known here; settings may lower most of them.

use std::time::Duration;

// Sizes of what comes in (W9, `reliability.md` §5 E2, E7).

/// A JSON body. Long prompts with inlined images stay below it.
pub const JSON_BODY_BYTES: u64 = 32 * 1024 * 1024;
/// Tokens to which a document that is ranked may be asked to be cut; no model reads more.
pub const TOKENS_PER_DOCUMENT: u64 = 10_000_000;
/// A form with a file of sound, as OpenAI takes it. It is held in memory, within the room of all bodies.
pub const AUDIO_BODY_BYTES: u64 = 25 * 1024 * 1024;
/// A form with pictures: a few of the size that cameras make.
pub const IMAGE_BODY_BYTES: u64 = 50 * 1024 * 1024;
/// Parts of a form; clients send a dozen.
pub const FORM_PARTS: usize = 100;
/// A body up to this needs no room of the process's own: 10,000 connections of them are bounded by that number.
pub const BODY_FREE_BYTES: usize = 64 * 1024;
/// All larger bodies that are being read or held at once: five of the largest, thousands of common ones.
pub const BODY_MEMORY_BYTES: usize = 256 * 1024 * 1024;
/// A management body. The largest, an import page, is far below.
pub const MANAGEMENT_BODY_BYTES: u64 = 1024 * 1024;
/// A request head. Codex and Claude Code send large headers.
pub const REQUEST_HEAD_BYTES: usize = 32 * 1024;
/// hyper's read buffer; the head limit is enforced beside it, this only bounds memory.
pub const READ_BUFFER_BYTES: usize = 64 * 1024;
/// A request target.
pub const TARGET_BYTES: usize = 8 * 1024;
/// A presented credential; reading stops there.
pub const CREDENTIAL_BYTES: usize = 512;
/// Nesting of a JSON body: no client nests deeper, recursion elsewhere might.
pub const JSON_DEPTH: usize = 64;
/// Values in a JSON body; token-id embeddings need many.
pub const JSON_VALUES: usize = 1_000_000;
/// Bytes of a model id.
pub const MODEL_ID_BYTES: usize = 256;
/// Numbers of a vector that may be asked for; the widest hosted models of 2025 make 8,192.
pub const EMBEDDING_DIMENSIONS: u64 = 65_536;
/// Choices asked for in one request; each multiplies the hold.
pub const CHOICES: u64 = 128;

// Sizes of what comes from an upstream.

/// A whole JSON answer that is read before its status leaves, so that a cut one is an honest 502.
pub const JSON_ANSWER_WHOLE_BYTES: usize = 1024 * 1024;
/// Any JSON answer.
pub const JSON_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// One SSE event.
pub const SSE_EVENT_BYTES: usize = 16 * 1024 * 1024;
/// The text of an upstream's error that is passed on.
pub const UPSTREAM_MESSAGE_BYTES: usize = 2 * 1024;
/// An upstream's reply head.
pub const UPSTREAM_HEAD_BYTES: usize = 64 * 1024;
/// Idle connections kept to one upstream: what a burst opened beyond it is closed.
pub const IDLE_UPSTREAM_CONNECTIONS: usize = 1024;
/// How long they are kept: closed before common servers close them (60 to 75 s).
pub const IDLE_UPSTREAM: Duration = Duration::from_secs(45);
/// How often idle connections to upstreams are looked through.
pub const IDLE_UPSTREAM_SWEEP: Duration = Duration::from_secs(5);

// Connections (`reliability.md` §4-A 18 to 21, E3, E8).

/// The first byte of a connection.
pub const FIRST_BYTE: Duration = Duration::from_secs(30);
/// A head, from its first byte to its last.
pub const HEAD: Duration = Duration::from_secs(10);
/// Between two requests of one connection; load balancers reuse for 60 s.
pub const IDLE_CONNECTION: Duration = Duration::from_secs(75);
/// The grace of a body before its rate is judged.
pub const BODY_GRACE: Duration = Duration::from_secs(10);
/// The least rate of a body behind its grace, bytes a second.
pub const BODY_BYTES_PER_SECOND: u64 = 1024;
/// A client that takes nothing from a stream.
pub const STALLED_CLIENT: Duration = Duration::from_secs(60);
/// The listener's send buffer, so that "handed to the kernel" stays close to what the client has.
pub const SEND_BUFFER_BYTES: u32 = 256 * 1024;
/// A body announced at most this large is read and dropped before a refusal, so that the connection can be reused.
pub const DISCARDED_BODY_BYTES: u64 = 64 * 1024;
/// How long such a body, or the rest of one after a refusal, is waited for.
pub const LINGER: Duration = Duration::from_secs(1);
/// Connections of one node.
pub const CONNECTIONS: usize = 10_000;
/// Connections of one client address.
pub const CONNECTIONS_PER_ADDRESS: usize = 1_000;

// Tasks.

/// Open tasks of an organization: each is looked after, and each holds credit.
pub const TASKS_OPEN: u32 = 1_000;
/// Tasks that one look takes; the others are due at the next.
pub const TASKS_AT_ONCE: u32 = 32;
/// Ended tasks that are forgotten in one transaction.
pub const TASKS_FORGOTTEN: u32 = 500;
/// How often it is looked whether tasks are due.
pub const TASK_TICK: Duration = Duration::from_secs(1);
/// How soon a young task is looked after again.
pub const TASK_LOOK_MIN: Duration = Duration::from_secs(1);
/// How soon one that has ended is looked at once more, whether its upstream has changed its verdict; then twice as late
/// each time.
pub const TASK_LOOK_BEHIND: Duration = Duration::from_secs(60);
/// Looks of one node at once.
pub const TASK_LOOKS: usize = 64;
/// How late an old one is.
pub const TASK_LOOK_MAX: Duration = Duration::from_secs(15);
/// How long one look may take: nobody else takes the task meanwhile.
pub const TASK_LOOK: Duration = Duration::from_secs(30);
/// How long an upstream may take to say that it has a task; behind it nobody knows.
pub const TASK_SUBMIT: Duration = Duration::from_secs(660);
/// How long a task may take before it is given up, at no cost.
pub const TASK_TIME: Duration = Duration::from_secs(6 * 3600);
/// How long an ended task and its result are kept.
pub const TASK_RESULT: Duration = Duration::from_secs(24 * 3600);
/// Bytes of a prompt that is kept to be shown again; hosted models of 2025 take 32,000.
pub const PROMPT_BYTES: usize = 64 * 1024;
/// The longest that a caller is made to wait for a task's end in the call that asks for it.
pub const TASK_WAIT: Duration = Duration::from_secs(60);
/// How long a call that is asked for as a task may take, when its caller says nothing.
pub const TASK_CALL: Duration = Duration::from_secs(3600);
/// Texts that a caller may hang on a task, as OpenAI takes them.
pub const METADATA: usize = 16;
/// Characters of the name of one.
pub const METADATA_NAME: usize = 64;
/// Characters of one.
pub const METADATA_VALUE: usize = 512;
/// Seconds of one video that may be asked for.
pub const VIDEO_SECONDS: u64 = 3_600;
/// Seconds of a video for which nobody says how long it shall be, as at OpenAI.
pub const VIDEO_SECONDS_UNSAID: u64 = 4;
/// Bytes of an upstream's id of a task.
pub const UPSTREAM_TASK_ID_BYTES: usize = 200;

// The course of a request.

/// Attempts over all targets of one request (W54).
pub const ATTEMPTS: usize = 3;
/// How long after its arrival a request may still be tried at another target (W54).
pub const LAST_ATTEMPT: Duration = Duration::from_secs(60);
/// Silence of a committed stream before a comment is sent (W29).
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long headers of a stream wait for the first upstream event (W29, W58).
pub const COMMIT_HEADERS: Duration = Duration::from_secs(30);
/// Ids of models that the log and the audit record of a reload name: a line that people read.
pub const TOLD_MODELS: usize = 50;
/// Tokens that a template adds around what is asked, beside those that its bytes bound: marks of roles, a server's own
/// opening. Generous, for a bound that is too low is given away, and one that is too high is held for a moment.
pub const TEMPLATE_TOKENS: u64 = 1024;
/// The same where tools are described to the model, or may be: with words of how to call them.
pub const TEMPLATE_TOKENS_WITH_TOOLS: u64 = 2048;
/// The most attempts that an operator may allow a request (W54).
pub const ATTEMPTS_MAX: usize = 5;
/// Failures in a row that open a target's circuit (W55).
pub const FAILURES_TO_OPEN: u32 = 5;
/// What the share of failures is judged over (W55).
pub const HEALTH_WINDOW: Duration = Duration::from_secs(30);
/// Outcomes within it below which no share is judged (W55).
pub const OUTCOMES_TO_JUDGE: u32 = 20;
/// How long a circuit is open at first; doubled with every probe that fails (W55).
pub const CIRCUIT_OPEN: Duration = Duration::from_secs(5);
/// The longest it is open; a target that refuses our credential is at once (W53, W55).
pub const CIRCUIT_OPEN_MAX: Duration = Duration::from_secs(60);
/// Probes in a row that close it (W55).
pub const PROBES_TO_CLOSE: u8 = 3;
/// A probe that has said nothing for so long holds up no other: the usual time until a first byte of a large model.
pub const PROBE_MAX: Duration = Duration::from_secs(60);
/// The shortest and the longest that a throttled target is left alone (W53).
pub const COOL_MIN: Duration = Duration::from_secs(1);
/// As above.
pub const COOL_MAX: Duration = Duration::from_secs(60);
/// What a provider's repeats are counted over (W54).
pub const REPEAT_WINDOW: Duration = Duration::from_secs(10);
/// Repeats within it that need no requests beside them (W54).
pub const REPEATS_FREE: u32 = 10;
/// Dead clients' answers read at once, a node.
pub const DRAINS: usize = 256;
/// The longest a request of a stopping node may go on.
pub const SHUTDOWN_DRAIN: Duration = Duration::from_secs(30);
/// How long a widened right is waited for: no promise hangs on it.
pub const EPOCH_APPLIED: Duration = Duration::from_secs(1);

// Nodes (`keys.md` §6).

/// The longest S that can be set.
pub const VALIDITY_MAX: Duration = Duration::from_secs(60);
/// How often a node polls without being woken.
pub const POLL: Duration = Duration::from_millis(200);
/// Rights events of one poll's answer; more come with the next.
pub const POLL_EVENTS: u32 = 1000;
/// How long `Prefer: respond-async` waits before it answers 202.
pub const CONFIRM_ASYNC: Duration = Duration::from_secs(2);
/// The longest a confirmation may be asked to wait.
pub const CONFIRM_WAIT: Duration = Duration::from_secs(30);
/// Events that every node has are kept this long, for whoever looks into them.
pub const RIGHTS_EVENTS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// A node that has been silent this long is forgotten: it must register anew.
pub const NODE_FORGOTTEN: Duration = Duration::from_secs(24 * 3600);

/// A node that has been silent this long, and whose session the database does not know any more, is dead: others close the
/// books of its seat. Charges that wait for the database are given up after half of this.
pub const SEAT_CLOSED: Duration = Duration::from_secs(60);

/// How long a node must have been silent before it cannot admit any more: its lease, and 5 % for two clocks whose rates
/// are off by 2 % each, in opposite directions.
pub const fn silence_of(validity: Duration) -> Duration {
    validity.saturating_add(Duration::from_nanos(nanos_of(validity).div_ceil(20)))
}

/// How long a confirmation may take at most before it is called pending: two silences and a moment.
pub const fn confirmation_patience(validity: Duration) -> Duration {
    silence_of(validity).saturating_mul(2).saturating_add(Duration::from_secs(3))
}

const fn nanos_of(duration: Duration) -> u64 {
    let nanos = duration.as_nanos();
    if nanos > u64::MAX as u128 { u64::MAX } else { nanos as u64 }
}

// Storage.

/// Charges waiting to become durable; full means refuse early.
pub const CHARGE_QUEUE: usize = 16_384;
/// Charges of one commit.
pub const CHARGE_GROUP: usize = 1024;
/// A lone request waits on its own thread for a disk that last took no longer than this: any solid one, no turning one.
pub const LONE_SYNC: Duration = Duration::from_millis(1);
/// Segments of the journal; new requests are refused while more than half of them hold what the database lacks.
pub const JOURNAL_SEGMENTS: usize = 4;
/// Bytes of one segment: with all that may be queued, half of the journal has room for everything that runs.
pub const JOURNAL_SEGMENT_BYTES: usize = 16 * 1024 * 1024;
/// Management acts waiting for the writer.
pub const ACT_QUEUE: usize = 1024;
/// Rows of one multi-row INSERT: SQLite looks `$n` up linearly, and the statement cache likes one size.
pub const INSERT_ROWS: usize = 32;
/// Read-only connections of SQLite.
pub const SQLITE_READERS: u32 = 4;
/// The pool of Postgres.
pub const POSTGRES_POOL: u32 = 20;
/// A statement that decides money or rights.
pub const STATEMENT: Duration = Duration::from_secs(2);
/// Rows of one page of a list.
pub const PAGE_ROWS: u32 = 100;

// Limits and lists of policies.

/// Requests a minute of one key to what answers about itself: models, key, credits, verify.
pub const SELF_SERVICE_RPM: u32 = 600;
/// Records a minute of refusals of one key for one reason, behind the first ones.
pub const REFUSAL_RECORDS_RPM: u32 = 60;
/// The first refusals of a kind: as many are recorded one by one.
pub const REFUSAL_RECORDS_BURST: u32 = 100;
/// Records a minute of refusals of a whole node: a small part of what the charges may write.
pub const NODE_REFUSAL_RECORDS_RPM: u32 = 12_000;
/// Keys and reasons whose refusals are counted between two writings.
pub const REFUSAL_KINDS: usize = 10_000;
/// How often counters of limits that say nothing any more are dropped.
pub const LIMITER_SWEEP: Duration = Duration::from_secs(600);
/// Entries of a list of models.
pub const MODEL_LIST_ENTRIES: usize = 100;

// Keys.

/// Keys an organization may have unless the operator says otherwise.
pub const KEYS_PER_ORGANIZATION: u32 = 100;
/// The most keys an operator may give an organization: all of them are in every node's memory.
pub const KEYS_PER_ORGANIZATION_MAX: u32 = 10_000_000;
/// How long a new lifetime spares the secrets that are older than it, unless its owner says otherwise.
pub const LIFETIME_GRACE_DAYS: u32 = 14;
/// Rates that nodes count together and nobody has used for this long are forgotten; the next use begins with nothing left.
pub const SHARED_RATES_KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// Ended keys that memory still knows, so that a refusal can say why.
pub const REMEMBER_KEYS: Duration = Duration::from_secs(90 * 24 * 3600);
/// Ended secrets that memory still knows.
pub const REMEMBER_SECRETS: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long after its making a secret that nobody used may be issued again.
pub const REISSUE_WINDOW: Duration = Duration::from_secs(600);
/// How often one secret may be issued again: each lost text is remembered for a month.
pub const REISSUES: usize = 10;
/// The longest overlap of a rotation.
pub const OVERLAP_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// The overlap of a rotation that names none.
pub const OVERLAP: Duration = Duration::from_secs(24 * 3600);
/// How long an answer may be repeated under its Idempotency-Key (W31).
pub const REPLAY: Duration = Duration::from_secs(24 * 3600);
/// A request under an Idempotency-Key that has run for so long runs no more: one is over after an hour (W57), its retries
/// begin within a minute, and a dead client's answer is read for ten minutes at most.
pub const REPLAY_RUNS_MAX: Duration = Duration::from_secs(2 * 3600);
/// The largest answer that is kept for its Idempotency-Key (W31).
pub const REPLAYED_REPLY_BYTES: usize = 16 * 1024 * 1024;
/// What is kept of one organization's answers at once: a hundred thousand of the usual ones, sixteen of the largest.
pub const REPLAY_ROOM_BYTES: usize = 256 * 1024 * 1024;
/// A key that was not used for so long is counted when the limit of keys is told.
pub const UNUSED_KEY: Duration = Duration::from_secs(90 * 24 * 3600);
/// So many of those are counted one by one; whoever has more need not know how many.
pub const UNUSED_KEYS_COUNTED: u32 = 1_000;
/// The first start's test key.
pub const FIRST_TEST_KEY: Duration = Duration::from_secs(24 * 3600);
/// How often records are brought into the sums of usage: what lies beyond is read record by record by whoever asks. A row
/// of sums costs as much as a request, so seldom is cheap: a key's requests of this long share their rows.
pub const USAGE_EVERY: Duration = Duration::from_secs(15);
/// Records of one batch, read in pages.
pub const USAGE_RECORDS: u32 = 32_768;
/// Sums that a batch may add to in one transaction: on SQLite acts wait behind it, some 20 ms.
pub const USAGE_SUMS: usize = 1_024;
/// How late a last use may be written.
pub const LAST_USE_FLUSH: Duration = Duration::from_secs(10);
/// The longest life of an admin key that is made with an expiry by OpenAI's endpoint: a year.
pub const ADMIN_KEY_LIFE_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// The shortest life of a key.
pub const KEY_LIFE_MIN: Duration = Duration::from_secs(60);
/// The longest life of a key.
pub const KEY_LIFE_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

// Audit.

/// Tokens in one report of a secret scanner.
pub const LEAK_REPORTS: usize = 1000;
/// Ids and hashes in one look-up of what leaked.
pub const LOOKUP_TRAILS: usize = 100;
/// Labels beside one question about a key, as many as Unkey takes.
pub const VERIFY_TAGS: usize = 20;
/// Rows in one import: one transaction.
pub const IMPORT_ROWS: usize = 1000;
/// Alarms that wait to be told; whoever presents more bait than this is told about already.
pub const ALARMS: usize = 256;
/// An hour that costs more than so many mean ones is told.
pub const SPIKE_FACTOR: u32 = 8;
/// The time whose mean hour is compared.
pub const SPIKE_MEAN: Duration = Duration::from_secs(7 * 24 * 3600);
/// A younger key is still finding its use.
pub const SPIKE_KEY_AGE: Duration = Duration::from_secs(24 * 3600);
/// How often the same alarm about the same key is told: a flood is one fact.
pub const ALARM_AGAIN: Duration = Duration::from_secs(600);
/// The longest time a record goes without a signed checkpoint.
pub const CHECKPOINT_PERIOD: Duration = Duration::from_secs(60);
/// As many records are signed at once, however soon.
pub const CHECKPOINT_RECORDS: u64 = 1000;
/// How long a syslog or a webhook may take for what it is sent: the next sink waits, and signing does.
pub const AUDIT_SINK_PATIENCE: Duration = Duration::from_secs(5);
/// A sink that is behind for longer is an alarm.
pub const CHECKPOINT_SINK_LATE: Duration = Duration::from_secs(300);
/// Records in one page of an export: about three megabytes.
pub const EXPORT_RECORDS: u32 = 2000;
/// Rows of denied attempts in memory: a code a minute, for an hour without a database.
pub const DENIED_ROWS: usize = 1024;
/// Networks counted in one of them; more is "many".
pub const DENIED_NETWORKS: usize = 1024;
/// Denied attempts shown in the log in one second.
pub const DENIED_LINES: u32 = 10;
/// Characters of what a client calls itself: enough for name and version, no room for a novel.
pub const CLIENT_CHARACTERS: usize = 40;
/// Callers kept of a secret; the oldest go first.
pub const CALLERS_PER_SECRET: u32 = 64;
/// Callers that a node remembers between two batches: some 150 bytes each; more go unseen until the next batch.
pub const CALLERS_IN_MEMORY: usize = 50_000;
/// A younger key is still finding its users.
pub const NEW_CALLER_KEY_AGE: Duration = Duration::from_secs(24 * 3600);
/// Whoever was not seen for so long is new again.
pub const NEW_CALLER_UNSEEN: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a key shows that somebody new came.
pub const NEW_CALLER_SHOWN: Duration = Duration::from_secs(7 * 24 * 3600);
/// Of its requests of the last hour, one in so many refused by a limit is too many.
pub const RATE_LIMITED_SHARE: u64 = 100;
/// How often a node says again that a key is refused too often.
pub const RATE_LIMITED_AGAIN: Duration = Duration::from_secs(60);
/// How long the last such word holds: a flush late and a minute missed do no harm.
pub const RATE_LIMITED_SHOWN: Duration = Duration::from_secs(180);
/// Keys of which a node knows how often they were refused in the last hour: some 120 bytes each.
pub const RATE_LIMITED_KEYS: usize = 20_000;

// People (`keys.md` §7).

/// The body of a request that needs no credential: a password and some names.
pub const OPEN_BODY_BYTES: u64 = 16 * 1024;
/// A session between two requests, unless the operator says otherwise.
pub const SESSION_IDLE: Duration = Duration::from_secs(30 * 60);
/// Sessions and one-time tokens that are over, so that a later question can be answered.
pub const REMEMBER_SESSIONS: Duration = Duration::from_secs(7 * 24 * 3600);
/// Mails that were delivered or given up.
pub const REMEMBER_MAILS: Duration = Duration::from_secs(30 * 24 * 3600);
/// A session from sign-in to its end, unless the operator says otherwise.
pub const SESSION_MAX: Duration = Duration::from_secs(12 * 3600);
/// How late the last use of a session may be written: never a write per request.
pub const SESSION_STAMP: Duration = Duration::from_secs(60);
/// How long a sign-in counts as fresh.
pub const FRESH_SIGN_IN: Duration = Duration::from_secs(5 * 60);
/// An invite, unless the operator says otherwise.
pub const INVITE_TTL: Duration = Duration::from_secs(7 * 24 * 3600);
/// A source tag: it stands in every usage row.
pub const SOURCE_TAG_CHARACTERS: usize = 64;
/// The day over which invites are counted.
pub const INVITE_WINDOW: Duration = Duration::from_secs(24 * 3600);
/// Invites that an organization sends in a day: a whole company may be asked in at once, and a stranger who signed up has
/// no more mails sent than that.
pub const INVITES_PER_ORGANIZATION: u32 = 500;
/// Invites that an address gets in a day, from all organizations together: nobody's mailbox is filled.
pub const INVITES_PER_ADDRESS: u32 = 5;
/// How often one invite is sent: a mail may be lost twice.
pub const INVITE_SENDS: u32 = 3;
/// A link to a new password, unless the operator says otherwise.
pub const RESET_TTL: Duration = Duration::from_secs(3600);
/// A link that proves an address.
pub const VERIFY_TTL: Duration = Duration::from_secs(24 * 3600);
/// The set-up link (`decisions.md` §8, 20).
pub const SETUP_TTL: Duration = Duration::from_secs(15 * 60);
/// The challenge of a passkey.
pub const PASSKEY_CHALLENGE: Duration = Duration::from_secs(5 * 60);
/// The way to an identity provider and back.
pub const OIDC_ROUND_TRIP: Duration = Duration::from_secs(10 * 60);
/// A command line that waits for consent.
pub const DEVICE_WAIT: Duration = Duration::from_secs(10 * 60);
/// How often it may ask whether it has it.
pub const DEVICE_PAUSE: Duration = Duration::from_secs(2);
/// Characters of what it calls its machine.
pub const DEVICE_HOST_CHARACTERS: usize = 64;
/// The admin key that `claviger login` makes.
pub const CLI_KEY_LIFE: Duration = Duration::from_secs(30 * 24 * 3600);
/// A sealed text left for somebody else.
pub const HANDOVER_TTL: Duration = Duration::from_secs(24 * 3600);
/// The sealed text of a handover: a key and some words.
pub const HANDOVER_BYTES: usize = 4 * 1024;
/// Characters of a password: at most. The least is a setting, never below 12.
pub const PASSWORD_CHARACTERS_MAX: usize = 256;
/// Characters of a password: at least (`decisions.md` §8, 16).
pub const PASSWORD_CHARACTERS_MIN: usize = 12;
/// Password hashes at once: each costs 19 MiB and some 20 ms.
pub const PASSWORD_HASHES: usize = 2;
/// Password hashes that wait; more are refused, so that a flood cannot fill the memory.
pub const PASSWORD_QUEUE: usize = 32;
/// Tries to sign in, a person and an address, in [`SIGN_IN_WINDOW`].
pub const SIGN_IN_TRIES: u32 = 5;
/// The window of [`SIGN_IN_TRIES`].
pub const SIGN_IN_WINDOW: Duration = Duration::from_secs(60);
/// Persons and addresses that the brake on guessing remembers.
pub const SIGN_IN_SUBJECTS: usize = 20_000;
/// How far the clock of an issuer of tokens may be from ours (`keys.md` §4).
pub const TOKEN_LEEWAY: Duration = Duration::from_secs(60);
/// A token of another issuer: real ones have one to four kilobytes.
pub const TOKEN_BYTES: usize = 16 * 1024;
/// A claim that we keep or compare: an issuer or subject has at most 255 characters (OpenID Connect Core §2).
pub const CLAIM_BYTES: usize = 1024;
/// The body of an exchange: one token, its bytes escaped at worst.
pub const EXCHANGE_BODY_BYTES: u64 = 64 * 1024;
/// Audiences of one token that are looked at; real ones have one or two.
pub const TOKEN_AUDIENCES: usize = 4;
/// Trusts that one token is compared with.
pub const TRUSTS_OF_TOKEN: u32 = 100;
/// Trusts of one agent: a handful of repositories or clusters.
pub const TRUSTS_PER_AGENT: u32 = 50;
/// Claims that a trust asks for.
pub const TRUST_CLAIMS: usize = 20;
/// How long an exchanged key lives unless its trust says otherwise (`keys.md` §3).
pub const TRUST_TTL: Duration = Duration::from_secs(900);
/// The shortest and the longest that a trust may say.
pub const TRUST_TTL_MIN: Duration = Duration::from_secs(60);
/// As [`TRUST_TTL_MIN`].
pub const TRUST_TTL_MAX: Duration = Duration::from_secs(3600);
/// How long a key that came from a trust is remembered behind its end: long enough to see why a job failed.
pub const REMEMBER_EXCHANGED: Duration = Duration::from_secs(24 * 3600);
/// Live keys of one trust (`keys.md` §4).
pub const KEYS_PER_TRUST: u32 = 100;
/// A document of an issuer: the largest public ones have some 20 KiB.
pub const ISSUER_DOCUMENT_BYTES: usize = 256 * 1024;
/// Keys of one issuer; real ones show two to five.
pub const ISSUER_KEYS: usize = 64;
/// How long an issuer's documents are believed without looking again.
pub const ISSUER_DOCUMENTS: Duration = Duration::from_secs(3600);
/// How soon they are looked at again for a key they did not name: whoever invents key names makes no flood.
pub const ISSUER_LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long an issuer may take to answer.
pub const ISSUER_PATIENCE: Duration = Duration::from_secs(10);
/// Providers that an organization brings along: a page of the console shows them all.
pub const PROVIDERS_PER_ORGANIZATION: u32 = 50;
/// Models of one of them.
pub const MODELS_PER_PROVIDER: usize = 200;
/// Bytes of a model's name behind its registry's slug, so that both fit into [`MODEL_ID_BYTES`].
pub const OWN_MODEL_NAME_BYTES: usize = 128;
/// Bytes of a provider's credential; tokens of clouds have up to some 2,000.
pub const PROVIDER_CREDENTIAL_BYTES: usize = 8 * 1024;
/// How long a provider may take to list its models when it is tested.
pub const PROVIDER_PATIENCE: Duration = Duration::from_secs(10);
/// How long all known ports of this machine together may take (`console.md` §1).
pub const DETECTION_PATIENCE: Duration = Duration::from_millis(300);
/// Names of organizations' own providers that one node looks up at once. A resolver may take half a minute and cannot be told
/// to stop; of its threads, 512 by default, the names of the operator's providers must always find one.
pub const MEMBERS_LOOKUPS: usize = 64;
/// What is read of a provider's list of models; the longest public ones have some 500 KiB.
pub const PROVIDER_LIST_BYTES: usize = 2 * 1024 * 1024;
/// Passkeys of one person.
pub const PASSKEYS_PER_USER: usize = 20;
/// Mails that one round of delivery takes.
pub const MAIL_BATCH: u32 = 32;
/// How long one round of delivery has a mail for itself.
pub const MAIL_CLAIM: Duration = Duration::from_secs(60);
/// How often a mail is tried; the pauses double from a minute.
pub const MAIL_TRIES: i64 = 10;

/// How long the answer of a `responses` call is known by its id (W13).
pub const KEPT_ANSWER: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a call about a kept answer may take: nothing is made meanwhile.
pub const KEPT_CALL: Duration = Duration::from_secs(60);
/// Bytes of an upstream's id of an answer; OpenAI's have 53.
pub const KEPT_ANSWER_NAME_BYTES: usize = 200;

// The simulator (`wire.md` §8).

/// Tokens a simulated answer may be asked for.
pub const SIMULATED_TOKENS: u64 = 10_000;
/// Requests in the standalone simulator's log.
pub const SIMULATOR_LOG_REQUESTS: usize = 10_000;
/// Bytes in the standalone simulator's log.
pub const SIMULATOR_LOG_BYTES: usize = 64 * 1024 * 1024;
